"""Storages that are shared, torn, damaged, lost or changed."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import optuna
import pytest
from sqlalchemy.exc import OperationalError

from chattn_nas.errors import FullDiskError, RunError, StorageError
from chattn_nas.search.processes import is_stopped
from chattn_nas.search.session import enqueue_baselines, enqueue_trainings, quiet_optuna
from chattn_nas.study import RunDirectory, storage
from chattn_nas.study.exclusive import exclusively
from chattn_nas.study.storage import open_storage, reach, storage_errors
from chattn_nas.study.trials import all_trials, counts

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def quiet():
    quiet_optuna()


def close(storage) -> None:
    if hasattr(storage, "_backend") and hasattr(storage._backend, "engine"):
        storage._backend.remove_session()
        storage._backend.engine.dispose()


@pytest.fixture(params=["sqlite:///{}/study.db", "journal://{}/study.log"])
def url(request, tmp_path):
    return request.param.format(tmp_path)


def test_a_journal_goes_on_after_half_a_line(tmp_path) -> None:
    path = tmp_path / "study.log"
    study = optuna.create_study(storage=open_storage(f"journal://{path}"), study_name="one")
    study.set_user_attr("kept", 1)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "worker_id": "x')
    opened = optuna.load_study(storage=open_storage(f"journal://{path}"), study_name="one")
    assert path.read_bytes() == whole, "what was not finished is cut off on opening"
    path.write_bytes(path.read_bytes() + b'{"op_code"')
    opened.set_user_attr("more", 2)
    again = optuna.load_study(storage=open_storage(f"journal://{path}"), study_name="one")
    assert again.user_attrs == {"kept": 1, "more": 2}


def test_a_journal_that_is_nothing_but_half_a_line_is_empty_again(tmp_path) -> None:
    path = tmp_path / "study.log"
    path.write_bytes(b'{"op_code": 0' + b"x" * 200_000)
    optuna.create_study(storage=open_storage(f"journal://{path}"), study_name="one")
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_journal_damaged_in_the_middle_is_one_sentence(tmp_path) -> None:
    path = tmp_path / "study.log"
    study = optuna.create_study(storage=open_storage(f"journal://{path}"), study_name="one")
    for index in range(5):
        study.set_user_attr(str(index), index)
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in (b"\x00\xff" * 20, b"3", b'["op_code"]', b'{"op_code": 99, "worker_id": "x"}', b'{"op_code": 2}'):
        path.write_bytes(b"".join([*lines[:3], damaged + b"\n", *lines[4:]]))
        with pytest.raises(StorageError, match=r"study\.log is damaged after 3 whole lines.*head -n 3") as caught:
            open_storage(f"journal://{path}")
        assert "\n" not in str(caught.value)
    path.write_bytes(b"".join(lines[:-1]) + b"\x00" * 40 + b"\n")
    with pytest.raises(StorageError, match=rf"is damaged after {len(lines) - 1} whole lines"):
        open_storage(f"journal://{path}")


def test_one_at_a_time_and_a_dead_holder_is_passed_over(url, monkeypatch) -> None:
    inside, most = [0], [0]

    def enter() -> None:
        storage = open_storage(url)
        with exclusively(storage, "queue"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            threading.Event().wait(0.02)
            inside[0] -= 1
        close(storage)

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1
    storage = open_storage(url)
    assert storage.get_all_studies() == []
    storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "queue (held for a moment)")  # by one that died
    monkeypatch.setattr("chattn_nas.study.exclusive.DEAD", 0.2)
    with exclusively(storage, "queue"):
        assert len(storage.get_all_studies()) == 1
    assert storage.get_all_studies() == []


START = """
import json, sys
from pathlib import Path
from chattn_nas.spec import Spec
from chattn_nas.study import RunDirectory
from chattn_nas.search.processes import is_stopped
from chattn_nas.search.session import enqueue_baselines, quiet_optuna
quiet_optuna()
spec = Spec.from_dict(json.loads(sys.argv[1]))
space = spec.search_space()
print("ready", flush=True)
sys.stdin.readline()
run = RunDirectory.create(spec, Path(sys.argv[2]))
enqueue_baselines(run.study, space)
"""


def test_a_full_disk_is_told_from_a_storage_that_is_away(url, monkeypatch) -> None:
    """The one ends a search at once, for the other it waits."""

    def no_space(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write_much() -> None:
        for number in range(100):
            study.set_user_attr(f"more-{number}", "x" * 2000)

    opened = open_storage(url)
    study = optuna.create_study(storage=opened, study_name="one")
    if url.startswith("sqlite"):
        with opened._backend.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")  # as many as it has
    else:
        monkeypatch.setattr(os, "fsync", no_space)
    said = r"study\.\w+ cannot be written: the disk is full; make space"
    with pytest.raises(FullDiskError, match=said), storage_errors(url):
        write_much()
    close(opened)


def test_a_password_that_stays_wrong_is_one_sentence(monkeypatch) -> None:
    """After the last one that was typed, a variable was missing."""
    monkeypatch.setattr(storage, "_wants_password", lambda error, url: True)
    monkeypatch.setattr(storage.getpass, "getpass", lambda prompt: "wrong")
    monkeypatch.setattr(storage.time, "sleep", lambda seconds: None)

    def refused(url):
        raise OperationalError("", {}, Exception("password authentication failed"))

    monkeypatch.setattr(storage, "_database", refused)
    with pytest.raises(StorageError, match="password authentication failed"):
        open_storage("postgresql://me@nowhere/studies")


def test_a_folder_with_any_name_holds_its_study(tmp_path, monkeypatch) -> None:
    """SQLAlchemy 2.1 unquotes what Optuna has filled braces in; SQLite unquotes once more where it only reads."""
    folder = tmp_path / "lr%20rate 50%25 #1 {a} {} what? a=1&b;"
    folder.mkdir()
    optuna.create_study(study_name="all", storage=open_storage(storage.default_url(folder)))
    assert (folder / storage.DATABASE).is_file()
    monkeypatch.setattr(storage, "_writable", lambda file: False)
    assert optuna.get_all_study_names(open_storage(storage.default_url(folder))) == ["all"]


def test_a_storage_is_tried_and_nothing_is_left_in_it(url, tmp_path, monkeypatch) -> None:
    reach(url)
    assert not list(tmp_path.iterdir())
    study = optuna.create_study(storage=open_storage(url), study_name="one")
    reach(url)
    close(study._storage)
    monkeypatch.setattr("chattn_nas.study.storage._writable", lambda file: False)  # root may write anything
    with pytest.raises(StorageError, match=r"study\.\w+ cannot be .*Permission denied") as caught:
        reach(url)
    assert caught.value.where == ("search", "storage")


def test_two_first_starts_on_one_storage_make_one_schema_one_study_and_one_queue(make_spec, tmp_path, url) -> None:
    spec = json.dumps(make_spec(storage=url).to_dict())
    processes = [
        subprocess.Popen([sys.executable, "-c", START, spec, str(tmp_path / name)], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for name in "abc"
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
    study = RunDirectory(tmp_path / "a").study
    labels = [trial.user_attrs["label"] for trial in all_trials(study)]
    assert labels == ["none", "uniform se", "uniform eca", "random_gate", "channel_scale"]
    assert [one.study_name for one in study._storage.get_all_studies()] == ["stub"]


def test_queueing_twice_queues_once(make_spec, tmp_path) -> None:
    spec = make_spec()
    run, space = RunDirectory.create(spec, tmp_path / "run"), spec.search_space()
    for _ in range(2):
        enqueue_baselines(run.study, space)
    queued = len(space.baselines())
    assert len(all_trials(run.study)) == queued
    training = ({"stages": []}, "hash", 1, "")
    for _ in range(2):
        enqueue_trainings(run.study, [training, training])
    assert len(all_trials(run.study)) == queued + 1


def test_another_storage_is_refused_once_there_are_trials(run_stub, make_spec, tmp_path) -> None:
    elsewhere = f"sqlite:///{tmp_path}/other.db"
    RunDirectory.create(make_spec(), tmp_path / "stub")
    RunDirectory.create(make_spec(storage=elsewhere), tmp_path / "stub")
    RunDirectory.create(make_spec(), tmp_path / "stub")
    run_stub(trials=4)
    with pytest.raises(RunError, match=r"lie in sqlite:////.*study\.db, not in .*other\.db") as caught:
        run_stub(trials=5, storage=elsewhere)
    assert caught.value.where == ("search", "storage")
    assert sum(map(counts, all_trials(run_stub(trials=5).study))) == 5


@pytest.mark.parametrize("old", [False, True])
def test_trials_that_are_gone_are_missed_not_begun_anew(run_stub, tmp_path, old) -> None:
    run = run_stub(trials=4)
    (run.directory / "study.db").rename(tmp_path / "saved.db")
    if old:  # a run of an earlier version
        (run.directory / ".study").unlink()
    for attempt in (lambda: run_stub(trials=5), lambda: RunDirectory(run.directory).study):
        with pytest.raises(RunError, match=r"the trials of the run in .* are gone: there is no file .*study\.db"):
            attempt()
    (tmp_path / "saved.db").rename(run.directory / "study.db")
    assert sum(map(counts, all_trials(run_stub(trials=5).study))) == 5


def test_the_study_of_another_run_under_the_same_name_is_not_taken_for_this_ones(run_stub) -> None:
    run = run_stub(trials=4)
    assert (run.directory / ".study").read_text().strip() == run.study.user_attrs["run_id"]
    (run.directory / ".study").write_text("0123456789abcdef" * 2)
    with pytest.raises(RunError, match="is another one"):
        run_stub(trials=5)
    for damaged in (b"", b"\xff\x00" * 16, b"0123456789abcdef"):
        (run.directory / ".study").write_bytes(damaged)
        (run.directory / ".path").write_bytes(damaged)
        assert RunDirectory(run.directory).spec == run.spec
        run_stub(trials=4)
        assert json.loads((run.directory / ".path").read_text()) is not None
        assert (run.directory / ".study").read_text().strip() == run.study.user_attrs["run_id"]


def test_a_run_goes_on_where_it_was_moved_and_so_does_its_confirmation(run_stub, tmp_path) -> None:
    run = run_stub(trials=4)
    confirm = run.directory / "confirm"
    url = run.storage_seen_from(confirm)
    assert str(tmp_path) not in url
    moved = tmp_path / "elsewhere" / "stub"
    shutil.copytree(run.directory, moved)
    shutil.rmtree(run.directory)
    spec = run.spec.model_copy(update={"search": run.spec.search.model_copy(update={"storage": url})})
    opened = RunDirectory.create(spec.model_copy(update={"name": "stub-confirm"}), moved / "confirm")
    assert {one.study_name for one in opened.study._storage.get_all_studies()} == {"stub", "stub-confirm"}
    assert sum(map(counts, all_trials(run_stub(directory=moved, trials=5).study))) == 5


def test_an_image_that_cannot_be_read_is_not_taken_for_the_storage(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    for name, kind in (("image.png", FileNotFoundError), ("study.db-wal", StorageError)):
        with pytest.raises(kind, match=name), storage_errors(url):
            raise FileNotFoundError(2, "No such file or directory", f"{tmp_path}/{name}")


HOLD = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("holds it", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
sys.stdin.read()
"""


def test_who_keeps_sqlite_from_all_others_is_named(run_stub, monkeypatch) -> None:
    run = run_stub(trials=4)
    close(run.study._storage)
    path = run.directory / "study.db"
    command = [sys.executable, "-c", HOLD, str(path)]
    holds = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holds.stdout.readline() == "holds it\n"
        while not is_stopped(holds.pid):
            threading.Event().wait(0.02)
        monkeypatch.setattr("chattn_nas.study.storage.WAIT", 0.2)
        with pytest.raises(RunError, match=rf"study\.db is locked; process {holds.pid} .* 'kill -CONT {holds.pid}'"):
            _ = RunDirectory(run.directory).study
        holds.send_signal(signal.SIGCONT)
        while is_stopped(holds.pid):
            threading.Event().wait(0.02)
        with pytest.raises(RunError, match=rf"study\.db is locked; it is open in process {holds.pid} "):
            run_stub(trials=5)
    finally:
        holds.kill()
        holds.communicate()
    assert sum(map(counts, all_trials(run_stub(trials=5).study))) == 5


def test_a_damaged_database_is_one_sentence_with_a_way_out(run_stub) -> None:
    run = run_stub(trials=4)
    close(run.study._storage)
    path = run.directory / "study.db"
    whole = path.read_bytes()
    for damaged in (b"not a database at all" * 300, whole[:4096] + bytes(len(whole) - 4096), whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        for left in run.directory.glob("study.db-*"):
            left.unlink()
        for attempt in (lambda: run_stub(trials=5), lambda: all_trials(RunDirectory(run.directory).study)):
            with pytest.raises(StorageError, match=r"study\.db is damaged .*\.recover") as caught:
                attempt()
            assert "\n" not in str(caught.value)


def test_a_spec_of_a_run_that_is_cut_off_at_any_line_is_damaged(make_spec, tmp_path) -> None:
    """Sections and settings that are left out have defaults, with which the run would go on as another one."""
    run = RunDirectory.create(make_spec(), tmp_path / "run")
    lines = (run.directory / "spec.yaml").read_text().splitlines(keepends=True)
    for kept in range(len(lines)):
        (run.directory / "spec.yaml").write_text("".join(lines[:kept]))
        with pytest.raises(RunError, match=r"spec\.yaml is damaged"):
            _ = RunDirectory(run.directory).spec


@pytest.mark.parametrize("damaged", ["", "just words", "name: [", "name: stub\n", "\x00\x01"])
def test_a_damaged_spec_of_a_run_is_one_sentence_and_the_search_mends_it(run_stub, damaged) -> None:
    run = run_stub(trials=4)
    whole = (run.directory / "spec.yaml").read_text()
    (run.directory / "spec.yaml").write_text(damaged)
    with pytest.raises(RunError, match=r"spec\.yaml is damaged .*'chattn-nas search SPEC --run") as caught:
        _ = RunDirectory(run.directory).study
    assert "\n" not in str(caught.value)
    with pytest.raises(RunError, match=r"other settings: search\.objectives"):
        run_stub(trials=5, objectives=["accuracy", "macs"])
    run_stub(trials=4)
    assert sum(map(counts, all_trials(run.study))) == 4
    assert (run.directory / "spec.yaml").read_text() == whole
    (run.directory / "spec.yaml").unlink()
    with pytest.raises(RunError, match=r"spec\.yaml is damaged \(it is gone\): 'chattn-nas search SPEC --run"):
        RunDirectory(run.directory)
    run_stub(trials=4)
    assert (run.directory / "spec.yaml").read_text() == whole
