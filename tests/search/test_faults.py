"""Nothing lost, nothing twice: real processes, killed at random moments, on real storages."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
import yaml
from chaos import DRIVER, Chaos
from optuna.trial import TrialState
from postgres_server import Server, binary

from chattn_nas.search.owner import pid_of
from chattn_nas.search.queue import LOST, OWNER
from chattn_nas.spec import Spec
from chattn_nas.study import RunDirectory
from chattn_nas.study.trials import counts, outcome

QUICKSTART = Path(__file__).parents[2] / "search_spaces" / "quickstart.yaml"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # most of it is the start of processes, which a busy machine makes slow
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find worker processes"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A PostgreSQL server of our own; ``None`` where the environment names one."""
    if os.environ.get("CHATTN_NAS_POSTGRES_URL"):
        yield None
        return
    pytest.importorskip("psycopg", reason="PostgreSQL faults: psycopg is not installed")
    if binary("initdb") is None:
        pytest.skip("PostgreSQL faults: no server is installed (Debian: apt-get install postgresql)")
    made = Server(tmp_path_factory.mktemp("postgres"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def storage(request):
    if request.param == "sqlite":
        return None
    made = request.getfixturevalue("server")
    return os.environ["CHATTN_NAS_POSTGRES_URL"] if made is None else made.url


@pytest.fixture
def chaos(tmp_path):
    made = []

    def make(storage, name="faults", **settings):
        unique = f"{name}-{time.time_ns()}"
        made.append(Chaos(tmp_path / unique, storage=storage, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("storage", ["sqlite", "postgresql"], indirect=True)
def test_workers_and_the_supervisor_are_killed_and_nothing_is_lost(storage, chaos) -> None:
    run, rng = chaos(storage, trials=60), random.Random(1)
    run.enqueue_all()
    run.start()
    run.until(3)
    killed = run.kill_a_worker(rng)
    time.sleep(rng.uniform(0, 1))
    killed &= run.kill_a_worker(rng)
    run.until(24)
    run.kill_the_supervisor()
    run.start()
    assert run.wait(600) == 0, run.log.read_text()[-3000:]
    assert killed
    run.check()


def test_the_quickstart_loses_nothing_while_two_of_its_four_workers_are_killed(chaos) -> None:
    """Its own space, data and sampler, really trained, for two epochs."""
    run, rng = chaos(None, trials=40, seconds=0), random.Random(2)
    run.data = yaml.safe_load(QUICKSTART.read_text()) | {"proxy": {"rungs": [1, 2], "batch_size": 128}}
    run.data["search"] |= {"trials": 40, "workers": 4, "devices": ["cpu"]}
    RunDirectory.create(Spec.from_dict(run.data), run.folder)
    run.start(("-c", DRIVER.replace(', trainer="stub_trainer:StubTrainer"', "")))
    for ended in (6, 16):
        run.until(ended)
        assert run.kill_a_worker(rng)
    assert run.wait(600) == 0, run.log.read_text()[-3000:]
    trials = run.records()
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert sum(map(counts, trials)) == 40
    assert not [trial.number for trial in trials if trial.state is TrialState.RUNNING]
    ended = [trial for trial in trials if counts(trial)]
    assert {outcome(trial) for trial in ended} <= {"complete", "pruned"}, "a killed trial was given back"
    trained = [trial.user_attrs for trial in ended if trial.user_attrs["value_source"] == "trained"]
    assert max(Counter((found["hash"], found["seed"]) for found in trained).values()) == 1, "none twice on one seed"
    labels = {trial.user_attrs["label"] for trial in ended if trial.user_attrs.get("label")}
    assert {"none", "uniform se", "uniform eca", "uniform fca", "uniform gct", "random_gate", "channel_scale"} == labels


def test_the_database_server_stops_and_comes_back(server, chaos) -> None:
    if server is None:
        pytest.skip("the server that the environment names is not ours to stop")
    run = chaos(server.url, trials=16, workers=2)
    run.enqueue_all()
    run.start()
    run.until(4)
    server.stop()
    time.sleep(2)
    server.start()
    assert run.wait(600) == 0, run.log.read_text()[-3000:]
    run.check()


def test_what_kills_its_worker_every_time_ends_as_crashed_with_its_last_words(chaos) -> None:
    run = chaos(None, trials=6, workers=1, retries=1, faults={"random_gate | random_gate": "die"})
    run.start()
    assert run.wait(600) == 0, run.log.read_text()[-3000:]
    crashed = next(trial for trial in run.records() if trial.user_attrs.get("label") == "random_gate")
    assert outcome(crashed) == "crashed"
    assert crashed.system_attrs[LOST] == 2, "given back once, then recorded"
    assert "exit code 9" in crashed.user_attrs["reason"]
    from optuna_dashboard._note import get_note_from_system_attrs

    study = run.study
    note = get_note_from_system_attrs(study._storage.get_study_system_attrs(study._study_id), crashed._trial_id)
    assert "last words of a worker" in note["body"]
    assert run.ended() == 6


def test_what_hangs_is_killed_and_timed_out(chaos, monkeypatch) -> None:
    run = chaos(None, trials=5, workers=1, retries=0, timeout=1.0, seconds=0.02, faults={"random_gate |": "hang"})
    run.environment["STUB_GRACE"] = "1"
    run.start()
    assert run.wait(600) == 0, run.log.read_text()[-3000:]
    hung = next(t for t in run.records() if t.user_attrs.get("label") == "random_gate")
    assert outcome(hung) == "timed_out"
    assert "longer than 1 s" in hung.user_attrs["reason"]


def _fill(path: Path) -> None:
    """Write until there is no room left."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_workers_that_are_stopped_for_good_lose_nothing(chaos) -> None:
    """One that came by itself, of which only its heartbeats are known, and one of the supervisor's own.

    No training ends before both are stopped, however long that takes.
    """
    run = chaos(None, trials=8, workers=1, seconds=0)
    go_on = run.folder.with_suffix(".go")
    run.environment |= {"STUB_HEARTBEAT": "1", "STUB_WAITS_FOR": str(go_on)}
    run.enqueue_all()
    command = ["-m", "chattn_nas.search.worker", str(run.folder), "--device", "cpu", "--parent", str(os.getpid())]
    command += ["--trainer", "stub_trainer:StubTrainer"]
    joined = subprocess.Popen([sys.executable, *command], env=run.environment, stderr=subprocess.DEVNULL)
    try:
        run.start()
        _, his = stop_in_a_trial(run, lambda: [joined.pid])
        mine, its = stop_in_a_trial(run, run.workers)
        go_on.touch()
        assert run.wait(400) == 0, run.log.read_text()[-3000:]
        run.check()
        lost = [trial.system_attrs.get(LOST, 0) for trial in run.records()]
        for number, times in Counter([his, its]).items():
            assert lost[number] >= times, "what both had was taken away, and trained by another worker"
        assert not psutil.pid_exists(mine), "the supervisor ended its own"
        os.kill(joined.pid, signal.SIGCONT)
        assert joined.wait(timeout=400) == 0, "it goes on, drops what it had, and finds all done"
    finally:
        joined.kill()
        joined.wait()
    run.check()


def stop_in_a_trial(run: Chaos, processes) -> tuple[int, int]:
    """Stop a worker inside a trial, not while it writes, which locks SQLite; its process, and the trial's number."""

    def busy() -> dict[int, int]:
        running = [trial for trial in run.records() if trial.state is TrialState.RUNNING]
        owners = {pid_of(trial.system_attrs.get(OWNER, "")): trial.number for trial in running}
        return {pid: owners[pid] for pid in processes() if pid in owners}

    def stands(pid: int) -> bool:
        """Each of its threads: the signal takes a moment to reach one that runs on another processor."""
        for _ in range(100):
            states = [task.joinpath("stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
            if all(state.rpartition(")")[2].split()[0] == "T" for state in states):
                return True
            time.sleep(0.01)
        return False

    def free() -> bool:
        with closing(sqlite3.connect(run.folder / "study.db", timeout=0.5)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True

    deadline = time.monotonic() + 400
    while True:
        for pid, number in busy().items():
            with suppress(ProcessLookupError, FileNotFoundError):  # it was taken for silent, and ended
                os.kill(pid, signal.SIGSTOP)
                if stands(pid) and free() and busy().get(pid) == number:
                    return pid, number
                os.kill(pid, signal.SIGCONT)
        assert time.monotonic() < deadline, f"no trial runs in {processes()}: {run.log.read_text()[-2000:]}"
        time.sleep(0.1)


def test_a_worker_that_finds_its_disk_full_ends_the_search_at_once_and_loses_nothing(chaos) -> None:
    """It was tried again and again, and each try cost a trial."""
    run = chaos(None, trials=12, workers=2, faults={"eca": "full"}, retries=0)
    run.enqueue_all()
    run.start()
    assert run.wait(600) != 0
    said = run.log.read_text()
    assert f"FullDiskError: a worker of {run.folder} could not write: the disk is full; make space" in said, said
    assert {outcome(trial) for trial in run.records()} <= {"complete", None}
    run.environment["STUB_FAULTS"] = "{}"
    run.start()
    assert run.wait(600) == 0, run.log.read_text()[-3000:]
    run.check()
    assert not [trial.number for trial in run.records() if trial.system_attrs.get(LOST)], "none was lost on the way"


def test_a_full_disk_ends_with_one_sentence_and_the_search_goes_on_later(tmp_path, chaos) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a full disk: mounting a tmpfs is not allowed here")
    try:
        run = chaos(None, trials=30, workers=2, seconds=0.3)
        run.folder = disk / run.folder.name
        run.enqueue_all()
        run.start()
        run.until(3)
        _fill(disk / "filler")
        assert run.wait(600) != 0
        assert "disk is full; make space, and the same command goes on" in run.log.read_text()
        done = run.ended()
        assert 0 < done < 30
        (disk / "filler").unlink()
        run.start()
        assert run.wait(600) == 0, run.log.read_text()[-3000:]
        run.check()
    finally:
        run.close()
        subprocess.run(["umount", "-l", str(disk)], check=True)
