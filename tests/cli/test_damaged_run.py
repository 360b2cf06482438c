"""Each file of a finished run is damaged in turn: every command works, or says in one sentence which file and what now.

The run is the one of version 0.1.0 in ``tests/fixtures``.
"""

import io
import shutil
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from chattn_nas.cli import _app

FIXTURES = Path(__file__).parents[1] / "fixtures"
SPEC = FIXTURES / "run_v1.yaml"


def flipped(whole: bytes) -> bytes:
    """Some bytes in the middle turned round."""
    middle = len(whole) // 3
    return whole[:middle] + bytes(byte ^ 0xFF for byte in whole[middle : middle + 200]) + whole[middle + 200 :]


DAMAGES = {
    "half": lambda whole: whole[: len(whole) // 2],
    "flipped": flipped,
    "another": lambda whole: b'[1, {"a": null}]\n',
}
#: Where each file of the run lies, and the commands that go on all the same: they do without it, or make it again.
ALL = {"trials", "report", "export", "search", "train", "confirm"}
FILES = {
    "spec.yaml": {"search"},
    "study.db": set(),
    "checkpoints/*.safetensors": ALL,
    "confirm/spec.yaml": ALL,
    "training/*/checkpoint.pt": ALL,
    "training/*/result.json": ALL - {"export"},  # which would hand out the search's weights in place of these
    "training/*/weights.safetensors": ALL - {"export"},
    "[!s]*/**/*": ALL - {"export"},  # all but the spec and the study at once
}  # fmt: skip
#: Weights of version 0.1.0 carry no checksum.
UNSEEN = ("training/*/weights.safetensors", "flipped", "export")


def said(monkeypatch, *words) -> tuple[int, str]:
    """A command's exit code and what it printed on stderr."""
    err = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.StringIO())
        patch.setattr(sys, "stderr", err)
        patch.setattr(sys, "argv", ["chattn-nas", *map(str, words)])
        try:
            _app.main()
        except SystemExit as error:
            return int(error.code or 0), err.getvalue()
    return 0, err.getvalue()


def commands(run: Path) -> dict[str, tuple]:
    return {
        "trials": ("trials", run),
        "report": ("report", run, "--format", "md"),
        "export": ("export", run, "--out", run / "exported", "--format", "safetensors"),
        "train": ("train", run),
        "confirm": ("confirm", run, "--plan", "--top", "1", "--seeds", "2", "--epochs", "1"),
        "search": ("search", SPEC, "--run", run, "--trials", "6", "--workers", "0", "--no-plan"),
    }


@pytest.fixture
def run(tmp_path) -> Path:
    shutil.copytree(FIXTURES / "run_v1", tmp_path / "run_v1")
    return tmp_path / "run_v1"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_or_done_without(run, monkeypatch, name, damage) -> None:
    for path in filter(Path.is_file, sorted(run.glob(name))):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    for command, words in commands(run).items():
        if command == "train" and "training" not in name:
            continue  # its finished training is taken as it is; tried where it is damaged
        code, told = said(monkeypatch, *words)
        if code == 0:
            assert command in FILES[name] or (name, damage, command) == UNSEEN, f"{command} saw nothing"
            continue
        assert code == 2, told
        lines = told.strip().splitlines()
        assert lines[-1].startswith("chattn-nas: "), told
        assert path.name in lines[-1], told
        assert command not in FILES[name], told
        code, again = said(monkeypatch, *words, "--json")
        assert (code, again.strip().splitlines()[-1]) == (2, lines[-1])


def test_a_file_without_rights_is_named_and_not_made_again(run, monkeypatch, without_rights) -> None:
    """To train again what may only not be read would cost hours, and what was there."""
    for name, refused in (
        ("spec.yaml", {"trials", "report", "export", "train", "confirm"}),
        ("study.db", {"trials", "report", "export", "train", "confirm", "search"}),
        ("training/*/weights.safetensors", {"export", "train"}),
        ("training/*/result.json", {"export", "train"}),
        (".lock", {"search"}),
    ):
        (path,) = run.glob(name) if name != ".lock" else (run / name,)
        path.touch()
        path.chmod(0)
        for command, words in commands(run).items():
            if command in refused:
                with without_rights():
                    code, told = said(monkeypatch, *words)
                assert code == 2, (name, command, told)
                last = told.strip().splitlines()[-1]
                assert path.name in last, (name, command, told)
                assert "ermission denied" in last or name == "study.db", (name, command, told)
        path.chmod(0o644)


def test_a_folder_in_the_place_of_a_file_is_named_before_anything_is_spent(run, monkeypatch) -> None:
    for name in ("checkpoint.pt", "log.csv", "weights.safetensors", "result.json"):
        path = run / "training" / "c67861bdbf73-1" / name
        path.mkdir(parents=True)
        code, told = said(monkeypatch, "train", run, "--seed", "1")
        assert (code, told.strip().splitlines()[-1]) == (
            2, f"chattn-nas: {path} is a folder, where the training writes a file: remove it"
        )  # fmt: skip
        path.rmdir()
    (run / "spec.yaml").unlink()
    (run / "spec.yaml").mkdir()
    for command, words in commands(run).items():
        code, told = said(monkeypatch, *words)
        assert code == 2, told
        assert command == "search" or "is no run" in told
        assert "spec.yaml" in told.strip().splitlines()[-1]


def test_whichever_page_of_the_study_is_damaged_it_is_seen_or_says_nothing(run, monkeypatch) -> None:
    """The heads of pages in turn, which tell where their cells lie: SQLite has no checksums of what lies in a cell."""
    study, table = run / "study.db", run.parent / "trials.csv"
    words, whole = ("trials", run, "--csv", table), study.read_bytes()
    assert said(monkeypatch, *words)[0] == 0
    right = table.read_text()
    for at in range(0, len(whole), 4096):
        study.write_bytes(whole[:at] + bytes(byte ^ 0xFF for byte in whole[at : at + 64]) + whole[at + 64 :])
        for left in run.glob("study.db-*"):
            left.unlink()
        table.unlink(missing_ok=True)
        code, told = said(monkeypatch, *words)
        if code == 0:
            assert table.read_text() == right, f"page {at // 4096} changed what is told"
        else:
            assert code == 2, told
            assert "study.db" in told.strip().splitlines()[-1], told


def test_a_study_that_is_no_file_is_named(run, monkeypatch) -> None:
    study = run / "study.db"
    study.unlink()
    for make in (lambda: None, lambda: study.symlink_to(study), lambda: (study.unlink(), study.mkdir())):
        make()
        for command, words in commands(run).items():
            if command == "train":
                continue  # as above
            code, told = said(monkeypatch, *words)
            assert code == 2, told
            assert told.strip().splitlines()[-1].startswith("chattn-nas: the trials of the run in "), told
            assert "study.db" in told.strip().splitlines()[-1]


def test_places_that_cannot_be_written_and_ports_that_are_taken_are_one_sentence(run, monkeypatch, tmp_path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for words, message in (
            (("trials", run, "--csv", tmp_path / "missing" / "x.csv"), "non-existent directory"),
            (("compare", run, run, "--out", tmp_path / "missing" / "x.html"), "x.html cannot be read or written"),
            (("dashboard", run, "--port", port), f"port {port} of 127.0.0.1 cannot be taken"),
        ):
            code, told = said(monkeypatch, *words)
            assert code == 2, told
            assert message in told.strip().splitlines()[-1]


@pytest.mark.parametrize("table", ["study_user_attributes", "trial_user_attributes"])
@pytest.mark.parametrize("value", ["3", '{"stages": [3]}', '{"format": 99}', "not JSON"])
def test_a_damaged_value_in_the_study_is_one_sentence(run, monkeypatch, table, value) -> None:
    with closing(sqlite3.connect(run / "study.db")) as connection:
        for (key,) in connection.execute(f"SELECT DISTINCT key FROM {table}").fetchall():
            kept = connection.execute(f"SELECT value_json, rowid FROM {table} WHERE key = ?", (key,)).fetchall()
            connection.execute(f"UPDATE {table} SET value_json = ? WHERE key = ?", (value, key))
            connection.commit()
            code, told = said(monkeypatch, "report", run, "--format", "md")
            assert code in (0, 2), (key, told)
            assert code == 0 or told.strip().splitlines()[-1].startswith("chattn-nas: "), (key, told)
            connection.executemany(f"UPDATE {table} SET value_json = ? WHERE rowid = ?", kept)
