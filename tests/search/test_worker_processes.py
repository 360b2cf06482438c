"""What a worker prints, starts and takes."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import psutil
import pytest

from chattn_nas.search import supervisor
from chattn_nas.search.owner import is_dead, owner, pid_of
from chattn_nas.search.processes import began, end_group, is_stopped, memory_of, start_group
from chattn_nas.search.worker_log import BYTES, KEPT, LARGEST, WorkerLog
from chattn_nas.study.trials import ANSWERED, TRAINED, all_trials, outcome

CHILD = "import sys, time; held = bytearray({}); print('there', flush=True); time.sleep(600)"
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}.format(200 << 20)])
print(child.pid, flush=True)
time.sleep(600)
"""

#: Holds the write lock of an SQLite file.
HOLD = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA journal_mode=WAL")
database.execute("BEGIN IMMEDIATE")
print("holds it", flush=True)
time.sleep(600)
"""


def test_the_last_words_are_short_whatever_was_printed(tmp_path) -> None:
    log = WorkerLog(tmp_path / "logs" / "worker-0.log")
    assert log.last_lines() == ""
    log.path.write_bytes(b"x" * 30_000_000 + b"\x00\xff\nlast words")
    said = log.last_lines()
    assert len(said.encode()) <= BYTES
    assert said.endswith("last words")
    log.path.write_text("\n".join(str(number) for number in range(100)))
    assert log.last_lines().splitlines() == [str(number) for number in range(85, 100)]


def test_a_log_that_grew_too_large_is_cut_while_its_worker_goes_on(tmp_path) -> None:
    log = WorkerLog(tmp_path / "logs" / "worker-0.log")
    with log.path.open("ab", buffering=0) as worker:
        worker.write(b"y" * (LARGEST + 10))
        log.trim()
        worker.write(b"more")
        assert log.path.read_bytes() == b"more"
        assert (tmp_path / "logs" / "worker-0.log.1").stat().st_size == KEPT
        log.trim()
        assert log.path.read_bytes() == b"more"


def started(tmp_path):
    with (tmp_path / "out").open("wb") as output:
        process = start_group([sys.executable, "-c", PARENT], output, os.environ)
    deadline = time.monotonic() + 60
    while (tmp_path / "out").read_text().count("\n") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process, int((tmp_path / "out").read_text().split()[0])


@pytest.mark.parametrize("first", ["worker", "group"])
def test_what_a_worker_started_ends_with_it_and_counts_as_its_memory(tmp_path, first) -> None:
    process, child = started(tmp_path)
    assert memory_of(process.pid) > 200 / 1024
    assert psutil.pid_exists(child)
    if first == "worker":  # it was killed, its child lives on
        process.kill()
        process.wait()
    end_group(process)
    deadline = time.monotonic() + 30
    while began(child) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert memory_of(process.pid) == 0.0


def test_a_process_is_told_from_another_with_its_number() -> None:
    mine = owner()
    assert pid_of(mine) == os.getpid()
    assert not is_dead(mine)
    machine, pid, since = mine.rsplit("/", 2)
    assert is_dead(f"{machine}/{pid}/{float(since) - 500:.2f}"), "a later process has its number"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert is_dead(f"{machine}/{ended.pid}/{since}")
    assert not is_dead(f"elsewhere/{ended.pid}/{since}"), "of another machine nothing is known"


HIDDEN = """
import builtins, sys
real_import = builtins.__import__
def hidden(name, globals=None, *rest, **named):
    if name in ("fcntl", "resource") and str((globals or {}).get("__name__")).startswith(("chattn_nas", "filelock")):
        raise ImportError(name)
    return real_import(name, globals, *rest, **named)
builtins.__import__ = hidden
import chattn_nas
from chattn_nas.spec import load_spec
from chattn_nas.search import search
spec = load_spec(sys.argv[1])
run = search(spec, run=sys.argv[2], trials=2, workers=0, progress=False)
run = chattn_nas.Run(sys.argv[2])
run.trials(), run.leaderboard()
from chattn_nas.report import write_report
write_report(run.directory, run.study)
from chattn_nas import export
export(run.best(), sys.argv[3], ("source",))
print("done")
"""


@pytest.mark.slow
def test_all_of_it_works_where_fcntl_and_resource_do_not_exist(tmp_path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "name: hidden\nbackbone: {model: cifar_resnet8, options: {width: 8}}\n"
        "data: {dataset: digits, image_size: 8}\nspace: {all: [none, se]}\n"
        "proxy: {rungs: [1], device: cpu}\nsearch: {sampler: random}\n"
    )
    command = [sys.executable, "-c", HIDDEN, spec, tmp_path / "run", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")


def test_a_stopped_process_is_ended_and_only_after_it_was_silent_for_long(tmp_path, monkeypatch) -> None:
    process, child = started(tmp_path)
    os.killpg(process.pid, signal.SIGSTOP)
    now = [100.0]
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now[0])
    watch = SimpleNamespace(silent_since={})
    lost = [SimpleNamespace(number=7)]
    assert supervisor.Supervisor._silent(watch, lost) == set()
    now[0] += supervisor.SILENT - 1
    assert supervisor.Supervisor._silent(watch, []) == set(), "it spoke in between: counted anew"
    assert supervisor.Supervisor._silent(watch, lost) == set()
    now[0] += supervisor.SILENT + 1
    assert supervisor.Supervisor._silent(watch, lost) == {7}
    monkeypatch.undo()
    end_group(process)
    assert process.wait(timeout=60) == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_that_does_not_end_when_all_is_done_is_ended(monkeypatch) -> None:
    now, killed = [100.0], []
    worker = SimpleNamespace(process=SimpleNamespace(pid=os.getpid()), slot=SimpleNamespace(index=0))
    worker.kill = lambda: killed.append(worker)
    watch = SimpleNamespace(
        workers={0: worker}, study=None, settings=SimpleNamespace(trials=3), stopped_since={}, done_since=None,
        _processes=lambda: [os.getpid()], _trials_of=lambda worker: [],
    )  # fmt: skip
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now[0])
    long = supervisor.LINGER
    for done, later, ended in ((True, long, 0), (False, 2, 0), (True, long + 1, 0), (True, 1, 1)):
        monkeypatch.setattr(supervisor.queue, "is_done", lambda *given, done=done, **named: done)
        supervisor.Supervisor._look_after_workers(watch)
        assert len(killed) == ended
        now[0] += later
    assert not watch.workers


def test_a_worker_that_was_stopped_while_it_wrote_is_replaced_and_nobody_elses_is(tmp_path) -> None:
    database = tmp_path / "study.db"
    holds = subprocess.Popen([sys.executable, "-c", HOLD, str(database)], stdout=subprocess.PIPE, text=True)
    try:
        assert holds.stdout.readline() == "holds it\n"
        worker = SimpleNamespace(process=holds, slot=SimpleNamespace(index=0), kill=holds.kill)
        begun = []
        watch = SimpleNamespace(
            run_=SimpleNamespace(storage_url=f"sqlite:///{database}"), workers={0: worker}, _start=begun.append
        )
        assert not supervisor.Supervisor._free_the_storage(watch), "it works: it is waited for"
        os.kill(holds.pid, signal.SIGSTOP)
        while not is_stopped(holds.pid):
            time.sleep(0.02)
        assert supervisor.Supervisor._free_the_storage(watch)
        assert begun == [worker.slot]
        assert holds.wait(timeout=60) == -signal.SIGKILL
        assert not supervisor.Supervisor._free_the_storage(watch)
    finally:
        holds.kill()
        holds.communicate()


def test_two_workers_at_one_network_whose_only_seed_is_taken(run_stub, worker_environment) -> None:
    """The second found no score to answer with, and its worker died of an IndexError."""
    worker_environment("STUB_SECONDS", "1")
    run = run_stub(workers=2, max_seeds=1, trials=9, sampler="stub_trainer:ProposesOne")
    proposed = [trial for trial in all_trials(run.study) if "label" not in trial.user_attrs]
    assert len(proposed) == 4
    assert len({trial.user_attrs["hash"] for trial in proposed}) == 1
    assert Counter(trial.user_attrs["value_source"] for trial in proposed) == {TRAINED: 1, ANSWERED: 3}
    assert {str(outcome(trial)) for trial in proposed} <= {"complete", "pruned"}


def test_a_workers_end_is_told_where_there_is_no_sigkill(monkeypatch) -> None:
    """Windows has none, and no negative exit codes."""
    monkeypatch.delattr(signal, "SIGKILL")
    ended = SimpleNamespace(process=SimpleNamespace(returncode=3))
    assert supervisor.Worker.fate.fget(ended) == "its worker ended with exit code 3"
