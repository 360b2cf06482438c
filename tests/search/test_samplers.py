import threading
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest

from chattn_nas.errors import InputError
from chattn_nas.proxy import Measurement, Outcome, Rung
from chattn_nas.search.pruning import passes
from chattn_nas.search.samplers import build_sampler, shown_to
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
    sampler = build_sampler(settings, space)
    return SearchStudy(made.study_name, made._storage, sampler, shown=shown_to(sampler, space))


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


@pytest.mark.parametrize("name", ["random", "tpe", "nsga2"])
def test_trials_of_one_process_draw_as_if_each_were_alone(name, space):
    """With Ray many trials share one sampler: whoever began last gave its random numbers to all."""
    alone = study_of(name, space)
    wanted = [network(alone.ask(), space) for _ in range(12)]
    together = study_of(name, space)
    trials = [together.ask() for _ in range(12)]
    assert [network(trial, space) for trial in reversed(trials)] == wanted[::-1]

    threaded, turn = study_of(name, space), threading.Barrier(4)
    begun = [threaded.ask() for _ in range(4)]

    def draw(trial):
        turn.wait()
        return network(trial, space)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, begun)) == wanted[:4]


@pytest.mark.parametrize("name", ["gp", "nsga2", "nsga3", "optuna.samplers:GPSampler"])
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
    for seed, (told, own) in enumerate(((0.9, 0.9), (0.7, 0.5), (0.6, 0.4))):  # the mean so far, and its own
        trial = study.ask()
        space.sample(trial)
        trial.set_user_attr("hash", "one")
        trial.set_user_attr("seed", seed)
        measured = Measurement(outcome=Outcome.COMPLETE, rungs=(Rung(epoch=1, score=own, loss=1.0),))
        trial.set_user_attr("measurement", measured.to_dict())
        study.tell(trial, told)
    assert [trial.value for trial in study.get_trials()] == pytest.approx([0.6] * 3)
    stored = optuna.load_study(study_name="s", storage=study._storage)
    assert [trial.value for trial in stored.trials] == [0.9, 0.7, 0.6], "what is stored stays"


def test_with_several_objectives_as_well_the_mean_is_that_of_the_trainings(space):
    """It was the mean of the means so far: 0.8 of the trainings 0.9 and 0.5."""
    made = optuna.create_study(directions=["minimize", "maximize"])
    made.set_user_attr("spec", {"search": {"objectives": ["parameters", "accuracy"]}})
    study = SearchStudy(made.study_name, made._storage, optuna.samplers.NSGAIISampler(seed=0))
    for seed, (told, own) in enumerate(((0.9, 0.9), (0.7, 0.5))):
        trial = study.ask()
        space.sample(trial)
        measured = Measurement(outcome=Outcome.COMPLETE, rungs=(Rung(epoch=1, score=own, loss=1.0),))
        for key, value in {"hash": "one", "seed": seed, "measurement": measured.to_dict()}.items():
            trial.set_user_attr(key, value)
        study.tell(trial, [78_000, told])
    assert [trial.values for trial in study.get_trials()] == [pytest.approx([78_000, 0.7])] * 2


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("path", ["optuna.samplers:CmaEsSampler", "optuna.samplers:QMCSampler"])
def test_samplers_of_numbers_are_refused(path, space):
    with pytest.raises(InputError, match="every choice here is a category"):
        study_of(path, space)


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


def test_gp_learns_of_what_is_refused_or_stopped(space):
    """Optuna's reads complete trials only: it proposed one network that breaks a constraint 738 times of 800."""
    study = study_of("gp", space)
    refused = []
    for number in range(30):
        trial = study.ask()
        key = network(trial, space)
        trial.set_user_attr("hash", key)
        if number < 10:  # the more none, the better; but none of those is allowed any more
            study.tell(trial, sum(value == "none" for value in trial.params.values()) / 3)
        else:
            refused.append(key)
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    assert len(set(refused)) > 10
    seen = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    assert len(seen) == 30
    assert {trial.value for trial in seen[10:]} == {min(trial.value for trial in seen[:10])}
