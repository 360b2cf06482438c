import optuna
import pytest

from chattn_nas.proxy import Measurement, Outcome, Rung
from chattn_nas.search.pruning import passes
from chattn_nas.search.samplers import build_sampler, shown_whole
from chattn_nas.search.search_study import SearchStudy
from chattn_nas.spec import SearchSettings, Spec

SPEC = {
    "name": "tiny",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8},
    "space": {"all": ["none", {"se": {"reduction": [2, 4]}}, {"eca": {"gamma": [1, 2], "b": [1, 3]}}]},
}


@pytest.fixture(scope="module")
def space():
    return Spec.from_dict(SPEC).search_space()


def study_of(name: str, space, storage=None, seed: int = 0) -> SearchStudy:
    made = optuna.create_study(direction="maximize", storage=storage, study_name="s", load_if_exists=True)
    settings = SearchSettings.model_validate({"sampler": name, "seed": seed})
    sampler = build_sampler(settings, space, seed)
    return SearchStudy(made.study_name, made._storage, sampler, filled=shown_whole(name, space))


def network(trial, space) -> str:
    return space.sample(trial).canonical(space.stages).hash


@pytest.mark.parametrize("name", ["random", "tpe", "nsga2"])
def test_workers_draw_different_numbers_and_the_same_search_the_same(name, space):
    """With workers unset all drew the same: 19 different networks in 36 proposals."""
    proposed = []
    for _ in range(2):
        storage = optuna.storages.InMemoryStorage()
        workers = [
            study_of(name, space, storage) for _ in range(3)
        ]  # each with a sampler of its own, as processes have
        proposed.append([network(workers[number % 3].ask(), space) for number in range(12)])
    assert proposed[0] == proposed[1]
    one = study_of(name, space)
    assert [network(one.ask(), space) for _ in range(12)] == proposed[0]
    assert len(set(proposed[0])) > 9


@pytest.mark.parametrize("name", ["gp", "nsga2", "nsga3"])
def test_samplers_that_cannot_do_conditions_model_settings_as_well(name, space):
    """gp modelled the types alone and drew every setting at random, with the warning switched off."""
    study = study_of(name, space)
    for number in range(6):
        trial = study.ask()
        space.sample(trial)
        study.tell(trial, 0.5 + number / 100)
    trial = study.ask()
    assert set(trial.relative_params or study.sampler.infer_relative_search_space(study, trial)) >= {
        "stage1.type", "stage1.se.reduction", "stage3.eca.gamma",
    }  # fmt: skip


def test_every_trial_of_a_network_is_told_its_mean(space):
    """The first trial's lucky value led the sampler for ever."""
    study = study_of("tpe", space)
    for told, own in ((0.9, 0.9), (0.7, 0.5), (0.6, 0.4)):  # the mean so far, and what the trial itself gave
        trial = study.ask()
        space.sample(trial)
        trial.set_user_attr("hash", "one")
        measured = Measurement(outcome=Outcome.COMPLETE, rungs=(Rung(epoch=1, score=own, loss=1.0),))
        trial.set_user_attr("measurement", measured.to_dict())
        study.tell(trial, told)
    assert [trial.value for trial in study.get_trials()] == pytest.approx([0.6] * 3)
    stored = optuna.load_study(study_name="s", storage=study._storage)
    assert [trial.value for trial in stored.trials] == [0.9, 0.7, 0.6], "what is stored stays"


def test_a_second_round_of_the_grid_replicates_baselines_too(space):
    study = study_of("grid", space)
    count = space.canonical_size
    baselines = {
        one.canonical(space.stages).hash for label, one in space.baselines() if label.startswith(("none", "uniform"))
    }
    proposed = [network(study.ask(), space) for _ in range(2 * count - len(baselines))]
    assert not baselines & set(proposed[: count - len(baselines)]), "they are queued first"
    assert set(proposed[count - len(baselines) :]) >= baselines


def test_a_share_of_what_a_rung_stops_goes_on():
    drawn = [passes(0, number, 0, 0.1) for number in range(2000)]
    assert 0.07 < sum(drawn) / 2000 < 0.13
    assert drawn == [passes(0, number, 0, 0.1) for number in range(2000)]
    assert not any(passes(0, number, 0, 0.0) for number in range(100))
