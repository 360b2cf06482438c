"""Searches with NNI as users start them: real processes, some of which are killed. Needs the nni extra."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml

from chattn_nas.errors import RunError
from chattn_nas.search.owner import is_dead
from chattn_nas.search.queue import OWNER
from chattn_nas.search.trainer import ProxyTrainer
from chattn_nas.space import Architecture
from chattn_nas.spec import Spec
from chattn_nas.study import RunDirectory
from chattn_nas.study.trials import TRAINED, all_trials, counts, outcome

psutil = pytest.importorskip("psutil", reason="NNI: the nni extra is not installed (scripts/install-nni)")
pytest.importorskip("nni.experiment", reason="NNI: the nni extra is not installed (scripts/install-nni)")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # a busy machine takes several times as long
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

#: A shell without job control starts what it puts in the background with SIGINT ignored, and so are all its children.
DRIVER = """
import atexit, gc, json, signal, sys
atexit.register(gc.freeze)
signal.signal(signal.SIGINT, signal.default_int_handler)
from chattn_nas.spec import Spec
from chattn_nas.search import search
search(Spec.from_dict(json.loads(sys.argv[1])), run=sys.argv[2], trainer=sys.argv[3])
"""
STUB = "stub_trainer:StubTrainer"


class Search:
    """A search in a process of its own. What it starts is found by a variable in its environment."""

    def __init__(self, data, folder: Path, trainer: str) -> None:
        self.folder, self.log = folder, folder.with_suffix(".log")
        self.mark = f"{folder.name}-{time.time_ns()}"
        with self.log.open("ab") as log:
            self.driver = subprocess.Popen(
                [sys.executable, "-c", DRIVER, json.dumps(data), str(folder), trainer],
                stdout=log, stderr=log, env=os.environ | {"TEST_OF_NNI": self.mark},
            )  # fmt: skip

    @property
    def study(self):
        return RunDirectory(self.folder).study

    def processes(self, words: str = "") -> list:
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("TEST_OF_NNI") == self.mark and process.pid != self.driver.pid
                if mine and words in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def until(self, condition, seconds: float = 700) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            assert self.driver.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.2)

    def wait(self, seconds: float = 800) -> int:
        return self.driver.wait(seconds)

    def by_nni(self, state: str) -> list:
        try:
            trials = all_trials(self.study)
        except RunError:  # it is not made yet
            return []
        return [t for t in trials if t.state.name == state and "nni_experiment" in t.user_attrs]

    def ended(self) -> int:
        return sum(map(counts, all_trials(self.study)))

    def check_nothing_runs(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while left := self.processes():
            assert time.monotonic() < deadline, [p.cmdline() for p in left]
            time.sleep(0.2)
        running = [trial for trial in all_trials(self.study) if trial.state.name == "RUNNING"]
        assert not running, running


@pytest.fixture
def start(elsewhere):
    made = []

    def start(data, trainer=STUB, name=None):
        made.append(Search(data, elsewhere / (name or data["name"]), trainer))
        return made[-1]

    yield start
    for one in made:
        for process in [one.driver, *one.processes()]:
            try:
                process.kill()
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue
        one.driver.wait()


@pytest.mark.parametrize("tuner", ["evolution", "tpe"])
def test_real_trials_with_accidents(plain_spec, start, elsewhere, monkeypatch, tuner) -> None:
    many = 5
    monkeypatch.setenv("ACCIDENTS", str(elsewhere))
    data = plain_spec(tuner, trials=4 + many, nni_tuner=tuner)  # 4 of them are baselines
    run = start(data, "nni_trainer:Accidents")
    assert run.wait() == 0, run.log.read_text()[-3000:]
    run.check_nothing_runs()
    assert "listens on all interfaces, without a login" in run.log.read_text()
    trials = all_trials(run.study)
    ended = [trial for trial in trials if counts(trial)]
    assert len(ended) == len(trials) == 4 + many
    proposed = [trial for trial in ended if "nni_experiment" in trial.user_attrs]
    assert len(proposed) == many
    assert len({trial.user_attrs["nni_experiment"] for trial in proposed}) == 1, "NNI did not die of it"
    assert len({trial.user_attrs["nni_trial"] for trial in proposed}) == many
    assert all(isinstance(trial.user_attrs["nni_parameter_id"], int) for trial in proposed)
    assert [outcome(trial) for trial in ended if "planned failure" in trial.user_attrs["reason"]] == ["crashed"]
    complete = sum(outcome(trial) == "complete" for trial in ended)
    assert complete == 3 + many, "what was killed was trained in a second go"

    spec = Spec.from_dict(data)
    trainer = ProxyTrainer(spec)
    torch.set_num_threads(1)
    whole = [t for t in proposed if outcome(t) == "complete" and t.user_attrs["value_source"] == TRAINED]
    for trial in random.Random(0).sample(whole, 3):
        found = trial.user_attrs
        architecture = Architecture.from_dict(found["architecture"])
        assert architecture.hash == found["hash"]
        measured = trainer.train(trainer.build(architecture, found["seed"]), found["seed"], lambda rung, result: False)
        assert [rung.score for rung in measured.rungs] == [r["score"] for r in found["measurement"]["rungs"]]


def test_whatever_dies_the_search_ends_or_goes_on_and_nothing_is_left(plain_spec, start, monkeypatch) -> None:
    monkeypatch.setenv("NNI_SECONDS", "2")
    data = plain_spec("deaths", trials=11, nni_tuner="random", retries=20)
    run = start(data, "nni_trainer:Patient")
    run.until(lambda: len(run.by_nni("COMPLETE")) >= 1)
    for words in ("--exp_params", "main.js", "nni.monitor"):  # tuner, manager, monitor
        run.until(lambda: run.by_nni("RUNNING") and run.processes("main.js") and run.processes("--exp_params"))
        experiments = _experiments(run)
        for process in run.processes(words):
            process.kill()
        run.until(lambda: _experiments(run) > experiments or run.ended() == 11)  # noqa: B023
        if run.ended() >= 8:
            break
    run.until(lambda: run.by_nni("RUNNING"))
    run.driver.kill()
    run.driver.wait()
    run.check_nothing_runs()

    run = start(data, "nni_trainer:Patient")
    assert run.wait() == 0, run.log.read_text()[-3000:]
    run.check_nothing_runs()
    assert run.ended() == 11
    ended = [trial for trial in all_trials(run.study) if counts(trial)]
    failed = {trial.number: (str(outcome(trial)), trial.user_attrs.get("reason")) for trial in ended}
    failed = {number: ending for number, ending in failed.items() if ending[0] != "complete"}
    assert not failed, failed


def _experiments(run: Search) -> int:
    return len(
        {trial.user_attrs["nni_experiment"] for trial in all_trials(run.study) if "nni_experiment" in trial.user_attrs}
    )


def test_ctrl_c_gives_running_trials_back_and_the_same_call_goes_on(plain_spec, start, monkeypatch) -> None:
    monkeypatch.setenv("NNI_SECONDS", "300")
    data = plain_spec("interrupted", trials=6, nni_tuner="tpe")
    run = start(data, "nni_trainer:Patient")
    run.until(lambda: run.by_nni("RUNNING"))
    began = {trial.number for trial in run.by_nni("RUNNING")}
    run.driver.send_signal(signal.SIGINT)
    assert run.wait() != 0
    run.check_nothing_runs()
    waiting = {trial.number for trial in all_trials(run.study) if trial.state.name == "WAITING"}
    assert began <= waiting
    monkeypatch.setenv("NNI_SECONDS", "0")
    run = start(data, "nni_trainer:Patient")
    assert run.wait() == 0, run.log.read_text()[-3000:]
    run.check_nothing_runs()
    assert run.ended() == 6


def test_the_studys_own_sampler_proposes_through_nni(plain_spec, start) -> None:
    """Networks refused for their costs take no place, and NNI's question ahead leaves no trial that waits for ever."""
    bounds = {"parameters": "<= 1.02x"}
    data = plain_spec("asking", trials=7, nni_tuner="optuna", objectives=["accuracy", "macs"], constraints=bounds)
    run = start(data)
    assert run.wait() == 0, run.log.read_text()[-3000:]
    run.check_nothing_runs()
    outcomes = Counter(outcome(trial) for trial in all_trials(run.study))
    assert outcomes["complete"] == 7
    assert outcomes["infeasible"] >= 1
    assert outcomes.total() == outcomes["complete"] + outcomes["infeasible"], "nothing waits, nothing runs"
    proposed = [trial for trial in all_trials(run.study) if "nni_experiment" in trial.user_attrs]
    assert len(proposed) >= 3
    assert all(trial.params for trial in proposed)
    assert all(len(trial.values) == 2 for trial in proposed if outcome(trial) == "complete")


def test_a_resumed_search_teaches_its_new_experiment_what_is_known(plain_spec, start) -> None:
    for trials in (6, 9):
        run = start(plain_spec("more", trials=trials, nni_tuner="tpe"))
        assert run.wait() == 0, run.log.read_text()[-3000:]
        run.check_nothing_runs()
    trials = all_trials(run.study)
    assert sum(map(counts, trials)) == len(trials) == 9
    first, second = dict.fromkeys(t.user_attrs["nni_experiment"] for t in trials if "nni_experiment" in t.user_attrs)
    logs = run.folder / "nni" / "experiments"
    for name, known in ((first, 2), (second, 4)):  # the controls are no networks of the space
        assert f"Replayed {known} FINISHED trials" in (logs / name / "log" / "dispatcher.log").read_text()
    trained = [t.user_attrs for t in trials if t.user_attrs["value_source"] == TRAINED]
    assert max(Counter((found["hash"], found["seed"]) for found in trained).values()) == 1


def test_a_grid_ends_when_all_is_proposed_and_its_time_is_kept(plain_spec, start) -> None:
    data = plain_spec("small", trials=30, nni_tuner="grid")
    data["space"] = {"all": ["none"], 3: ["none", "se"]}
    run = start(data)
    assert run.wait() == 0, run.log.read_text()[-3000:]
    run.check_nothing_runs()
    assert "no more to propose" in run.log.read_text()
    late = start(plain_spec("late", trials=30, nni_tuner="regularized_evolution", nni_duration=12), name="late")
    assert late.wait() == 0, late.log.read_text()[-3000:]
    late.check_nothing_runs()
    assert "nni_duration is over" in late.log.read_text()
    assert late.ended() < 30


def test_nnictl_runs_what_nni_config_wrote(plain_spec, elsewhere, monkeypatch) -> None:
    from nni.experiment import Experiment

    commands = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    written = plain_spec("written", trials=8, nni_tuner="random")  # 4 of them are baselines, which NNI does not run
    (elsewhere / "spec.yaml").write_text(yaml.safe_dump(written))

    def call(*words: str) -> str:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call("chattn-nas", "nni-config", "spec.yaml", "--out", "run")
    from chattn_nas.search.nni.monitor import _free_port

    port = str(_free_port())
    call("nnictl", "create", "--config", "run/config.yml", "--port", port)
    study = RunDirectory(elsewhere / "run").study
    try:
        deadline = time.monotonic() + 700
        while sum(map(counts, all_trials(study))) < 2:
            assert time.monotonic() < deadline, (elsewhere / "run" / "nni").glob("**/trial.stderr")
            time.sleep(0.5)
        experiment = Experiment.connect(int(port))
        manager = experiment._proc.pid
    finally:
        call("nnictl", "stop", "--port", port)
    deadline = time.monotonic() + 60
    while psutil.pid_exists(manager):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    ended = [trial for trial in all_trials(study) if counts(trial)]
    assert all(trial.user_attrs["nni_experiment"] == experiment.id for trial in ended)
    assert all(is_dead(trial.system_attrs[OWNER]) for trial in ended)
