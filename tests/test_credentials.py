import json

import pytest

from chattn_nas import credentials
from chattn_nas.credentials import HANDED, PASSWORD, hide, keep_password, redacted, reveal, secrets_of

SECRET = "s3cr3t-of-the-test"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(credentials, "_known", {})
    for name in (PASSWORD, HANDED):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        (f"postgresql://me:{SECRET}@host:5432/db", "postgresql://me@host:5432/db"),
        (f"postgresql://me@host/db?password={SECRET}", "postgresql://me@host/db"),
        (f"postgresql://host/db?user=me&password={SECRET}&connect_timeout=3", None),
        (f"mysql+pymysql://me:{SECRET}@host/db?ssl_key_password={SECRET}", "mysql+pymysql://me@host/db"),
        ("sqlite:////home/a@b:c/x.db", "sqlite:////home/a@b:c/x.db"),
        ("journal:///a@b:c/x.log", "journal:///a@b:c/x.log"),
    ],
)
def test_a_url_loses_its_password_which_its_process_keeps(url, bare) -> None:
    found = keep_password(url)
    assert SECRET not in found
    assert bare is None or found == bare
    assert (SECRET in secrets_of(found).values()) == (SECRET in url)
    assert keep_password(found) == found, "read again, it still has it"
    assert (SECRET in secrets_of(found).values()) == (SECRET in url)


def test_passwords_with_signs_are_read_as_the_database_reads_them() -> None:
    bare = keep_password("postgresql://me:a%40b%3Ac@host/db")
    assert secrets_of(bare) == {"password": "a@b:c"}


def test_a_password_reaches_the_processes_that_are_started(monkeypatch) -> None:
    bare = keep_password(f"postgresql://me:{SECRET}@host/db")
    handed = credentials.environment()
    monkeypatch.setattr(credentials, "_known", {})
    assert secrets_of(bare) == {}
    monkeypatch.setenv(HANDED, handed[HANDED])
    assert secrets_of(bare) == {"password": SECRET}


def test_a_password_comes_from_the_environment_where_the_url_has_a_user(monkeypatch) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)
    assert secrets_of("postgresql://me@host/db") == {"password": SECRET}
    assert secrets_of("sqlite:///x.db") == {}


def test_nothing_that_is_shown_holds_a_secret() -> None:
    keep_password(f"postgresql://me:{SECRET}@host/db")
    said = redacted(f"connection to postgresql://me:{SECRET}@host/db failed for password={SECRET}")
    assert SECRET not in said
    assert "other" not in redacted("could not parse postgres://you:other@elsewhere/db?sslpassword=other")
    assert redacted("https://host/a?b=c and user@host") == "https://host/a?b=c and user@host"


def test_settings_of_another_program_lose_their_secrets_and_get_them_back() -> None:
    service = {"platform": "remote", "machineList": [{"user": "me", "password": SECRET}], "storageAccountKey": SECRET}
    hidden = hide("training_service", service)
    assert SECRET not in json.dumps(hidden)
    assert hide("training_service", hidden) == hidden
    assert reveal("training_service", hidden) == service


def test_a_secret_that_nobody_gave_is_missed_by_name() -> None:
    with pytest.raises(KeyError, match=r"machineList\.0\.password"):
        reveal("training_service", {"machineList": [{"password": "***"}]})


@pytest.mark.parametrize("wrong", ["nonsense", "postgresql://me:p@ss@host/db", ""])
def test_what_is_no_url_is_refused_without_being_repeated(wrong) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        keep_password(wrong)
    assert not wrong or wrong not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://study.db", "three slashes"),
        ("sqlite+pysqlite://study.db", "three slashes"),
        ("sqlite:///:memory:", "gone with its process"),
        ("sqlite://", "three slashes"),
    ],
)
def test_a_storage_that_cannot_stay_is_refused(url, message) -> None:
    with pytest.raises(ValueError, match=message):
        keep_password(url)
