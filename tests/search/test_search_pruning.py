import copy

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import HyperbandPruner, SuccessiveHalvingPruner
from optuna.pruners._successive_halving import _is_trial_promotable_to_next_rung
from optuna.study import StudyDirection

from chattn_nas.search.pruning import build_pruner, nondominated_ranks, survives
from chattn_nas.spec.search_settings import SearchSettings
from chattn_nas.study.trials import all_trials, counts, outcome

numbers = st.integers(0, 6).map(float)


@st.composite
def losses(draw):
    objectives = draw(st.integers(2, 4))
    return np.array(
        draw(st.lists(st.lists(numbers, min_size=objectives, max_size=objectives), min_size=1, max_size=30))
    )


@given(losses(), st.integers(2, 5))
@settings(deadline=None)
def test_what_is_on_the_front_is_never_stopped(rows, factor) -> None:
    last = rows[-1]
    dominated = any((row <= last).all() and (row < last).any() for row in rows)
    if not dominated:
        assert survives(rows, factor)


@given(st.lists(numbers, min_size=1, max_size=40), st.integers(2, 5))
@settings(deadline=None)
def test_with_one_objective_it_decides_as_optunas_asynchronous_halving(values, factor) -> None:
    expected = _is_trial_promotable_to_next_rung(values[-1], list(values), factor, StudyDirection.MAXIMIZE)
    assert survives(np.array([[-value] for value in values]), factor) == expected


@given(losses())
@settings(deadline=None)
def test_a_rank_is_dominated_by_the_rank_before_only(rows) -> None:
    ranks = nondominated_ranks(rows)
    for index, rank in enumerate(ranks):
        better = [ranks[o] for o, row in enumerate(rows) if (row <= rows[index]).all() and (row < rows[index]).any()]
        assert rank == (max(better) + 1 if better else 0)


@given(losses(), st.integers(2, 4))
@settings(deadline=None)
def test_no_more_than_the_front_or_one_in_factor_goes_on(rows, factor) -> None:
    ranks = nondominated_ranks(rows)
    going = sum(survives(np.vstack([np.delete(rows, i, 0), rows[i]]), factor) for i in range(len(rows)))
    assert going >= max(1, len(rows) // factor)
    assert going <= max(
        (ranks == r).sum() + (ranks < r).sum() for r in ranks if (ranks < r).sum() < max(1, len(rows) // factor)
    )


@pytest.mark.parametrize("rungs", [[2, 6], [1, 5, 7], [10, 20, 40, 50]])
@pytest.mark.parametrize("name", ["successive_halving", "hyperband"])
def test_rungs_at_any_epochs_are_optunas_rungs(name, rungs) -> None:
    """The same accuracies, reported at our epochs and at Optuna's own resources, stop the same trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = np.random.default_rng(0)
    table = rng.random((40, len(rungs)))
    given = SearchSettings(pruner=name, reduction_factor=2)
    inner = {
        "successive_halving": SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        "hyperband": HyperbandPruner(min_resource=1, max_resource=2 ** (len(rungs) - 1), reduction_factor=2),
    }[name]
    stopped = []
    for ours, steps in ((True, rungs), (False, [2**i for i in range(len(rungs))])):
        # Hyperband draws a trial's bracket from the study's name and the trial's number: a resumed search keeps it.
        study = optuna.create_study(study_name="rungs", direction="maximize", sampler=optuna.samplers.RandomSampler(0))
        decisions = []
        for number, row in enumerate(table):
            if number in (0, 20):  # half way, as a search that goes on in another process
                study.pruner = build_pruner(given, rungs) if ours else copy.deepcopy(inner)
            trial = study.ask()
            for step, value in zip(steps, row, strict=True):
                trial.report(value, step)
                if trial.should_prune():
                    decisions.append(list(steps).index(step))
                    break
            else:
                decisions.append(len(steps))
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        stopped.append(decisions)
    assert stopped[0] == stopped[1]
    assert len(set(stopped[0])) > 1


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_search_with_hyperband_stops_trials_of_its_first_bracket_only(run_stub) -> None:
    run_stub(pruner="hyperband", trials=16)
    run = run_stub(pruner="hyperband", trials=32)  # goes on
    trials = [trial for trial in all_trials(run.study) if outcome(trial) is not None]
    assert sum(map(counts, trials)) == 32
    stopped = [trial for trial in trials if outcome(trial) == "pruned"]
    assert stopped
    assert all(len(trial.user_attrs["measurement"]["rungs"]) == 1 for trial in stopped)
    pruner = build_pruner(run.spec.search, run.spec.proxy.rungs).inner
    pruner._try_initialization(run.study)
    brackets = {trial.number: pruner._get_bracket_id(run.study, trial) for trial in trials}
    assert set(brackets.values()) == {0, 1}, "two rungs, two brackets"
    assert {brackets[trial.number] for trial in stopped} == {0}, "the second bracket trains to the end"
