"""Samplers and pruners of others."""

import sys
import types

import optuna
import pytest

from chattn_nas.errors import InputError, MissingExtraError
from chattn_nas.search.by_path import made_by_path
from chattn_nas.search.trial import TrialRunner
from chattn_nas.spec import SearchSettings
from chattn_nas.study.record import records


class Middle(optuna.samplers.BaseSampler):
    """Always the middle value."""

    def __init__(self, space) -> None:
        self.space = space

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):
        return param_distribution.choices[len(param_distribution.choices) // 2]


@pytest.fixture
def my_parts(monkeypatch):
    module = types.ModuleType("my_samplers")
    module.Middle, module.number = Middle, 3
    module.stop_all = lambda: optuna.pruners.ThresholdPruner(lower=2.0)
    monkeypatch.setitem(sys.modules, "my_samplers", module)


def test_a_sampler_and_a_pruner_of_somebody_else_are_used(my_parts, run_stub):
    run = run_stub(trials=9, sampler="my_samplers:Middle", pruner="my_samplers:stop_all", pass_at_random=0)
    proposed = [one for one in records(run.study) if not one.label]
    assert {tuple(stage["type"] for stage in one.stages) for one in proposed} == {("se",) * 3}
    assert {one.outcome for one in proposed} == {"pruned"}


@pytest.mark.parametrize("engine", ["optuna", "nni"])
def test_of_what_every_rung_would_stop_a_share_goes_on(engine, my_parts, run_stub, monkeypatch, tmp_path):
    """The runner decides, whoever places the training; what reports to NNI in between hands the answer on."""
    whole = TrialRunner.run
    if engine == "nni":
        pytest.importorskip("nni")
        from chattn_nas.search.nni import _nni, trial

        monkeypatch.setattr(_nni, "report_rung", lambda score: None)

        def reporting(self, *arguments):
            if not isinstance(self.trainer, trial.Reporting):
                self.trainer = trial.Reporting(self.trainer)
            return whole(self, *arguments)

        monkeypatch.setattr(TrialRunner, "run", reporting)
    for share, outcomes in ((1.0, {"complete"}), (0.0, {"pruned"})):
        run = run_stub(tmp_path / f"{share:g}", trials=8, pruner="my_samplers:stop_all", pass_at_random=share)
        assert {one.outcome for one in records(run.study) if not one.label} == outcomes


def test_seeds_are_handed_to_those_that_take_one(run_stub, tmp_path):
    one, other = (
        [r.hash for r in records(run_stub(tmp_path / str(n), sampler="optuna.samplers:RandomSampler").study)]
        for n in range(2)
    )
    assert one == other


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere_at_all:Sampler", "cannot be imported as a sampler .ModuleNotFoundError.*spec's folder"),
        ("optuna.samplers:NoSuch", "has no 'NoSuch' that could be a sampler"),
        ("optuna.pruners:NopPruner", "is a NopPruner"),
        ("my_samplers:number", "has no 'number' that could be a sampler"),
    ],
)
def test_what_is_no_sampler_is_refused(path, words, my_parts):
    with pytest.raises(InputError, match=words) as caught:
        made_by_path(path, optuna.samplers.BaseSampler, seed=0)
    assert caught.value.where == ("sampler",)


def test_optunahub_is_an_extra_whose_packages_are_loaded_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "optunahub", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*optunahub"):
        made_by_path("optunahub:auto_sampler", optuna.samplers.BaseSampler)
    package, hub = types.ModuleType("package"), types.ModuleType("optunahub")
    package.__all__, package.Sampler = (
        ["Sampler"],
        type("Sampler", (optuna.samplers.RandomSampler,), {"__module__": "p"}),
    )
    asked = []
    hub.load_module = lambda name: asked.append(name) or package
    monkeypatch.setitem(sys.modules, "optunahub", hub)
    assert type(made_by_path("optunahub:auto_sampler", optuna.samplers.BaseSampler, seed=1)).__name__ == "Sampler"
    assert asked == ["samplers/auto_sampler"]


def test_a_name_that_is_none_is_refused_with_a_hint():
    with pytest.raises(InputError, match="did you mean 'tpe'"):
        SearchSettings.model_validate({"sampler": "tpee"})
    with pytest.raises(InputError, match="optunahub:NAME"):
        SearchSettings.model_validate({"pruner": "halving"})
    assert SearchSettings.model_validate({"pruner": "my.parts:Pruner"}).pruner == "my.parts:Pruner"
