"""One process, the real runner, a stub in place of the training."""

import json
import math
import subprocess
import sys
import time
from collections import Counter
from copy import copy
from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import stub_trainer
import torch
from optuna.trial import TrialState
from optuna_dashboard._note import get_note_from_system_attrs

from chattn_nas import api
from chattn_nas.errors import InputError, RunError, SearchStopped
from chattn_nas.proxy import Measurement, Rung
from chattn_nas.results import leaderboard
from chattn_nas.search import trial as trial_module
from chattn_nas.search.age import Ages
from chattn_nas.search.queue import _is_orphan
from chattn_nas.search.trial import TrialRunner
from chattn_nas.study import RunDirectory
from chattn_nas.study.artifacts import Artifacts
from chattn_nas.study.attributes import TrialAttributes
from chattn_nas.study.checkpoints import Checkpoints
from chattn_nas.study.history import history
from chattn_nas.study.record import records
from chattn_nas.study.trials import all_trials, counts, outcome

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def trials_of(run):
    return all_trials(run.study)


def test_baselines_come_first_and_the_asked_number_ends(run_stub) -> None:
    run = run_stub()
    trials = trials_of(run)
    labels = ["none", "uniform se", "uniform eca", "random_gate", "channel_scale"]
    assert [trial.user_attrs["label"] for trial in trials[:5]] == labels
    assert sum(map(counts, trials)) == len(trials) == 12
    assert all("label" not in trial.user_attrs for trial in trials[5:])


def test_every_record_is_complete(run_stub) -> None:
    run = run_stub(constraints={"parameters": "<= 1.2x"})
    for trial in trials_of(run):
        found = trial.user_attrs
        assert {"architecture", "hash", "seed", "outcome", "reason", "costs_relative", "measurement"} <= set(found)
        assert found["value_source"] == "trained"
        assert {"parameters", "macs", "rungs", "versions"} <= set(found["measurement"])
        json.dumps(found)
        note = get_note_from_system_attrs(
            run.study._storage.get_study_system_attrs(run.study._study_id), trial._trial_id
        )
        assert found["outcome"] in note["body"]
        assert "layer1" in note["body"]
    assert len(run.stages) == 3
    assert run.stages[0].slots("before_add")[0].channels == 8
    assert run.reference["parameters"] == 20_000
    assert {"torch", "timm", "optuna", "chattn-nas", "python"} <= set(run.study.user_attrs["versions"])


def test_a_repeat_is_trained_on_the_next_seed_then_answered_from_the_record(run_stub) -> None:
    run = run_stub(space={"all": ["none"], 1: ["none", "se"]}, trials=14, seed=5)
    trials = trials_of(run)
    trained = [trial for trial in trials if trial.user_attrs["value_source"] == "trained"]
    pairs = Counter((trial.user_attrs["hash"], trial.user_attrs["seed"]) for trial in trained)
    assert max(pairs.values()) == 1
    assert {seed for _, seed in pairs} == {5, 6, 7}
    for architecture in {trial.user_attrs["hash"] for trial in trials}:
        scores = []
        for trial in (t for t in trials if t.user_attrs["hash"] == architecture):
            if trial.user_attrs["value_source"] == "trained":
                scores.append(trial.user_attrs["measurement"]["rungs"][-1]["score"])
            assert trial.value == pytest.approx(sum(scores) / len(scores)), "the mean so far"
    answered = [trial for trial in trials if trial.user_attrs["value_source"] != "trained"]
    assert answered
    assert all(trial.user_attrs["outcome"] == "complete" for trial in answered)
    assert len(history(run.study).seeds(answered[0].user_attrs["hash"])) == 3


def test_what_is_infeasible_is_refused_before_training_and_does_not_count(run_stub) -> None:
    run = run_stub(constraints={"parameters": "<= 1.003x"}, trials=8)
    trials = trials_of(run)
    refused = [trial for trial in trials if outcome(trial) == "infeasible"]
    assert refused
    assert sum(map(counts, trials)) == 8
    for trial in refused:
        assert trial.state is TrialState.PRUNED
        assert not trial.user_attrs["measurement"]["rungs"]
        assert "allowed <= 1.003x" in trial.user_attrs["reason"]
        assert trial.system_attrs["constraints"][0] > 0
        assert trial.system_attrs["constraints:parameters"] > 0
    for trial in trials:
        if trial not in refused and trial.user_attrs["value_source"] == "trained":
            assert trial.system_attrs["constraints"][0] <= 0


def test_failures_are_outcomes_and_the_search_goes_on(run_stub, monkeypatch) -> None:
    monkeypatch.setenv("STUB_FAULTS", json.dumps({"se(reduction=8) | none": "memory", "eca(gamma=1, b=2) |": "raise"}))
    run = run_stub(trials=40, max_seeds=1)
    ends = Counter(str(outcome(trial)) for trial in trials_of(run))
    assert ends["complete"] > 20
    assert ends["crashed"] + ends["out_of_memory"] > 0
    for trial in trials_of(run):
        if outcome(trial) == "crashed":
            assert "ValueError: planned failure" in trial.user_attrs["reason"]
            assert trial.state is TrialState.FAIL


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_a_training_that_diverged(run_stub, monkeypatch, score) -> None:
    """The study refuses it, and the worker died of that."""
    real = stub_trainer.score
    monkeypatch.setattr(
        stub_trainer, "score", lambda network, seed: score if "eca" in str(network) else real(network, seed)
    )
    run = run_stub(trials=6)
    ends = {trial.user_attrs["label"]: outcome(trial) for trial in trials_of(run) if trial.user_attrs.get("label")}
    assert ends["uniform eca"] == "diverged"
    assert ends["none"] == ends["uniform se"] == "complete"
    assert "no number" in next(r.reason for r in records(run.study) if r.outcome == "diverged")
    assert np.isfinite(leaderboard(run.study)["pooled"]).all()


def test_five_failures_in_a_row_stop_the_search_with_the_reason(run_stub, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("STUB_FAULTS", json.dumps({"se": "raise", "eca": "raise"}))
    with pytest.raises(SearchStopped, match=r"the last 5 trials failed, most often: crashed .*planned failure"):
        run_stub(trials=60, max_seeds=1)
    monkeypatch.delenv("STUB_FAULTS")
    resumed = run_stub(trials=20, max_seeds=1)
    assert sum(map(counts, trials_of(resumed))) == 20, "the cause was mended: the same call goes on"


def test_constraints_that_nothing_meets_end_the_search(run_stub, monkeypatch) -> None:
    with pytest.raises(
        InputError, match="no network of this space can keep parameters '<= 1000': the cheapest has 20,"
    ):
        run_stub(constraints={"parameters": "<= 1000"}, sampler="random")
    monkeypatch.setattr("chattn_nas.search.session.check_bounds", lambda *given: None)
    with pytest.raises(SearchStopped, match=r"the last 300 networks .* violate the constraints, .*allowed <= 1000;"):
        run_stub(constraints={"parameters": "<= 1000"}, sampler="random")


def test_every_baseline_failing_stops_the_search(run_stub, monkeypatch) -> None:
    monkeypatch.setenv("STUB_FAULTS", json.dumps({"": "raise"}))
    with pytest.raises(SearchStopped, match="every baseline failed"):
        run_stub()


def test_a_repeated_call_does_nothing_more_and_a_larger_number_goes_on(run_stub) -> None:
    first = run_stub()
    again = run_stub()
    assert len(trials_of(again)) == len(trials_of(first)) == 12
    assert len(trials_of(run_stub(trials=15))) == 15
    assert len(trials_of(run_stub(trials=5))) == 15


def test_one_seed_proposes_the_same_twice(run_stub, tmp_path) -> None:
    runs = [run_stub(directory=tmp_path / name, sampler="tpe", trials=16) for name in ("a", "b")]
    first, second = ([t.user_attrs["hash"] for t in trials_of(run)] for run in runs)
    assert first == second


def test_incomparable_changes_are_refused_free_ones_are_not(run_stub, make_spec, tmp_path) -> None:
    from chattn_nas.search import search

    run_stub()
    spec = make_spec()
    other = spec.model_copy(update={"data": spec.data.model_copy(update={"image_size": 12})})
    with pytest.raises(RunError, match=r"data.image_size.*spec.changed\(name") as caught:
        search(other, run=tmp_path / "stub", progress=False, trainer="stub_trainer:StubTrainer")
    assert caught.value.where == ("data", "image_size")
    with pytest.raises(RunError, match=r"search\.objectives"):
        run_stub(objectives=["accuracy", "macs"])
    run_stub(sampler="tpe", retries=3, timeout=100.0, trials=13)


def test_a_clock_that_is_set_forward_makes_no_trial_too_slow(run_stub, monkeypatch) -> None:
    """The start of a trial is stored in local time, which jumps by an hour twice a year."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    assert {outcome(trial) for trial in trials_of(run_stub(timeout=100.0, trials=5))} == {"complete"}


def test_ages_are_told_by_a_clock_that_nobody_sets(monkeypatch) -> None:
    clock = iter([1.0, 6.0, 7.0, 9.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    taken = optuna.create_trial(state=TrialState.RUNNING)
    taken.datetime_start = datetime(2026, 10, 25, 2, 30)
    age = Ages()
    assert (age(taken), age(taken)) == (0, 5)
    again = copy(taken)
    again.datetime_start = datetime(2026, 10, 25, 2, 10)
    assert age(again) == 0, "it was given back and taken again, after the clock was set back"
    assert age(taken) == 8


@pytest.mark.parametrize(("minutes", "orphan"), [(0, False), (1, True), (-60, True)])
def test_a_trial_without_an_owner_is_lost_even_if_the_clock_was_set_back(minutes, orphan) -> None:
    study = optuna.create_study()
    study.ask()
    trial = study.trials[0]
    trial.datetime_start = datetime.now() - timedelta(minutes=minutes)
    assert _is_orphan(trial) is orphan


def test_a_trainer_that_is_not_there_is_refused_before_a_run_is_made(make_spec, tmp_path) -> None:
    from chattn_nas.search import search

    for workers in (0, 1):
        with pytest.raises(InputError, match="'no_module:Trainer' cannot be imported as a trainer"):
            search(make_spec(), run=tmp_path / "run", workers=workers, progress=False, trainer="no_module:Trainer")
    assert not (tmp_path / "run").exists()


HOLD = """
import sys
from pathlib import Path
from chattn_nas.study.hold import hold
with hold(Path(sys.argv[1]) / ".lock", lambda: "busy"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_search_in_one_directory_is_refused_and_changes_nothing(run_stub, tmp_path) -> None:
    run = run_stub(trials=4)
    before = ((run.directory / "spec.yaml").read_text(), dict(run.study.user_attrs))
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, run.directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as p:
        assert p.stdout.readline() == b"held\n"
        works = rf"\(process {p.pid}\) works in .*: wait until it is done, or end it; 'chattn-nas worker .*' joins it"
        with pytest.raises(RunError, match=f"another search {works}"):
            run_stub(trials=50, sampler="tpe")
        with (
            pytest.raises(RunError, match=f"another confirmation {works}"),
            RunDirectory.held(run.spec, run.directory, what="confirmation"),
        ):
            pass
        p.stdin.close()
    assert ((run.directory / "spec.yaml").read_text(), dict(run.study.user_attrs)) == before


def test_a_run_is_found_by_directory_or_name(run_stub, tmp_path, monkeypatch) -> None:
    run_stub(directory=tmp_path / "runs" / "stub", trials=4)
    monkeypatch.chdir(tmp_path)
    assert RunDirectory("stub").directory == RunDirectory(tmp_path / "runs" / "stub").directory.relative_to(tmp_path)
    with pytest.raises(RunError, match="did you mean 'stub'"):
        RunDirectory("stbu")


def test_weights_of_a_trial_that_is_about_to_end_elsewhere_are_left_alone(tmp_path) -> None:
    """Another worker has written them, and this one does not know its result yet."""
    checkpoints = Checkpoints(tmp_path, keep=1)
    for name in ("best", "known", "elsewhere"):
        checkpoints.write(torch.nn.Linear(1, 1), name, 0)
    checkpoints.prune(["best", "known"], {"best", "known"}.__contains__)
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {"best-0.safetensors", "elsewhere-0.safetensors"}


def test_checkpoints_are_of_the_best_architectures_only(run_stub) -> None:
    run = run_stub(trials=20, keep_checkpoints=3)
    kept = {path.name.split("-")[0] for path in (run.directory / "checkpoints").iterdir()}
    means = {}
    for trial in trials_of(run):
        means.setdefault(trial.user_attrs["hash"], []).append(trial.user_attrs["measurement"]["rungs"][-1]["score"])
    ranking = sorted(means, key=lambda key: -sum(means[key]) / len(means[key]))
    assert set(ranking[:1]) <= kept <= set(ranking)
    assert len(kept) <= 3
    assert run.checkpoint(ranking[0], 0) is not None
    assert run.checkpoint(ranking[-1], 0) is None


def test_an_interrupted_trial_is_given_back(run_stub, monkeypatch) -> None:
    import stub_trainer

    real, calls = stub_trainer.StubTrainer.train, []

    def interrupted(self, network, seed, report):
        calls.append(str(network.architecture))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(self, network, seed, report)

    monkeypatch.setattr(stub_trainer.StubTrainer, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_stub()
    run = run_stub()
    trials = trials_of(run)
    assert [trial.number for trial in trials] == list(range(12))
    assert calls[5] == calls[6], "the trial goes on as the architecture that it was"
    assert all(trial.state.is_finished() for trial in trials)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "objectives"),
    [(name, ["accuracy"]) for name in ("random", "grid", "tpe", "gp", "nsga2")]
    + [(name, ["accuracy", "parameters"]) for name in ("tpe", "gp", "nsga2", "nsga3")],
)
def test_every_sampler_runs_with_every_kind_of_trial(run_stub, sampler, objectives) -> None:
    run = run_stub(
        sampler=sampler, objectives=objectives, trials=24, constraints={"parameters": "<= 1.02x"},
        pruner="successive_halving", reduction_factor=2,
    )  # fmt: skip
    trials = trials_of(run)
    ends = Counter(str(outcome(trial)) for trial in trials)
    assert sum(map(counts, trials)) == 24
    assert ends["infeasible"] > 0
    assert ends["pruned"] > 0
    assert set(ends) <= {"complete", "pruned", "infeasible"}
    assert all(outcome(t) in ("complete", "infeasible") for t in trials if t.user_attrs.get("label"))
    if len(objectives) == 2:
        front = run.study.best_trials
        assert front
        assert all(optuna.trial.TrialState.COMPLETE is trial.state for trial in front)


def test_grid_takes_every_network_once_before_it_repeats(run_stub) -> None:
    run = run_stub(sampler="grid", trials=40)
    trials = trials_of(run)
    inside = [trial.user_attrs["hash"] for trial in trials if "given" not in trial.user_attrs]
    assert len(set(inside)) == len(inside)


def test_cmaes_is_refused_with_the_reason(run_stub) -> None:
    with pytest.raises(Exception, match="every choice here is a category") as caught:
        run_stub(sampler="cmaes")
    assert caught.value.where == ("search", "sampler")


def test_a_training_that_ends_while_another_trial_is_answered_from_it_breaks_nothing() -> None:
    """Seeds and scores were read at two moments: a score of a trial that still ran at the first was an error."""
    running, trial = SimpleNamespace(number=0, state=TrialState.RUNNING, user_attrs={"hash": "a", "seed": 0}), {}
    moments = iter([{}, {0: 0.9}, {0: 0.9}])

    class Moment:
        def __init__(self) -> None:
            self.known = next(moments)

        def seeds(self, key: str) -> dict:
            return {0: running}

        def scores(self, key: str) -> dict:
            return self.known

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trial_module, "history", lambda study: Moment())
        asking = SimpleNamespace(set_user_attr=lambda name, value: trial.update({name: value}), number=1)
        runner = SimpleNamespace(study=None, reference={"parameters": 1}, _violations=lambda *given: [],
                                 _values=lambda score, costs: [score])  # fmt: skip
        ending = TrialRunner._answer(runner, asking, SimpleNamespace(hash="a"))
    assert ending.outcome == "pruned"
    assert ending.reason == "known from trials 0"
    assert trial["seed"] == 0


def test_a_curve_shows_the_finite_scores_alone(tmp_path) -> None:
    rungs = [Rung(epoch=epoch, score=score, loss=1.0) for epoch, score in ((1, 0.3), (2, math.nan))]
    study = optuna.create_study()
    stored = TrialAttributes(measurement=Measurement(outcome="diverged", rungs=tuple(rungs)), hash="a", seed=0)
    Artifacts(tmp_path).store(study.ask(), stored)
    texts = [file.read_text() for file in (tmp_path / "artifacts").iterdir()]
    assert len(texts) == 2
    assert not any("nan" in text for text in texts if text.startswith("<svg"))


def test_a_budget_does_not_excuse_trials_below_one(make_spec, tmp_path) -> None:
    with pytest.raises(InputError, match="trials"):
        api.search(make_spec(), run=tmp_path / "run", trials=0, budget=60.0)
