import itertools

import numpy as np
import pytest
from results_study import TYPES, World, add_trial, architecture_of, make_world, new_study, simulate

from chattn_nas.results import Standing
from chattn_nas.results._best import Pick
from chattn_nas.results.early_rungs import early_rungs
from chattn_nas.results.pooled import Observation, Pooled, fit, observations
from chattn_nas.study import records
from chattn_nas.study.record import key_of

CELLS = list(itertools.product(range(len(TYPES)), repeat=3))
STUDIES = 60


def as_choices(cell):
    return tuple((TYPES[index], key_of({"type": TYPES[index]})) for index in cell)


def truth_of(world: World, pick: Pick) -> float:
    return world.truth([TYPES.index(stage["type"]) for stage in pick.stages])


@pytest.mark.parametrize("prune", [0.0, 0.3])
def test_the_pooled_pick_has_at_most_half_the_regret_and_its_intervals_cover(prune):
    """216 architectures, effects 0.5 and interactions 0.2 points, noise 0.8, 100 trials."""
    regrets: dict[str, list[float]] = {"pooled": [], "single": []}
    covered = []
    for seed in range(STUDIES):
        world = make_world(seed)
        study = simulate(world, 100, prune=prune)
        standing = Standing(study)
        highest = max(truth_of(world, pick) for pick in standing.picks if not pick.control)
        for by, regret in regrets.items():
            regret.append(highest - truth_of(world, standing.best(by)))
        model = fit(records(study))
        assert model is not None
        estimate = model.predict([as_choices(cell) for cell in CELLS])
        away = np.abs(estimate.mean - [world.truth(cell) for cell in CELLS])
        covered.append(np.mean(away <= 1.96 * estimate.sd))
    assert np.mean(regrets["pooled"]) <= np.mean(regrets["single"]) / 2
    assert 0.92 <= np.mean(covered) <= 0.98


def test_learned_deviations_are_near_the_true_ones():
    learned = []
    for seed in range(20):
        model = fit(records(simulate(make_world(seed), 100)))
        assert model is not None
        learned.append(model.deviations)
    assert np.mean([one["noise"] for one in learned]) == pytest.approx(0.8, abs=0.1)
    assert np.mean([np.hypot(one["type"], one["setting"]) for one in learned]) == pytest.approx(0.5, abs=0.1)


def test_architectures_never_trained_get_wider_intervals():
    model = fit(records(simulate(make_world(1), 60)))
    assert model is not None
    seen = {one.choices for one in model.seen}
    known, unknown = ([as_choices(c) for c in CELLS if (as_choices(c) in seen) == there] for there in (True, False))
    assert model.predict(known).sd.mean() < model.predict(unknown).sd.mean()


def test_a_type_that_one_stage_never_had_does_not_break_the_effects():
    model = Pooled([Observation(as_choices(cell), 0, 90 + sum(cell)) for cell in CELLS[:30]])
    effects = model.effects(2, ["none", "se"])
    assert effects.mean[0] == pytest.approx(0)
    assert effects.mean[1] > 0


def test_hardly_any_difference_and_huge_outliers_are_survived():
    """The search for the mode once left the range in which the covariance is positive definite."""
    for spread, outlier in ((1e-9, 0.0), (0.5, 80.0)):
        rng = np.random.default_rng(0)
        accuracies = 90 + spread * rng.standard_normal(40)
        accuracies[3] -= outlier
        model = Pooled([Observation(as_choices(c), i % 3, a) for i, (c, a) in enumerate(zip(CELLS[::5], accuracies))])
        estimate = model.predict([as_choices(cell) for cell in CELLS])
        assert np.isfinite(estimate.mean).all()
        assert np.isfinite(estimate.sd).all()


def test_only_the_newest_of_very_many_trials_are_fitted(monkeypatch):
    monkeypatch.setattr("chattn_nas.results.pooled.LIMIT", 20)
    model = Pooled([Observation(as_choices(cell), 0, 90 + sum(cell)) for cell in CELLS[:30]])
    assert [one.accuracy for one in model.seen] == [90 + sum(cell) for cell in CELLS[10:30]]


def test_there_is_no_model_of_hardly_anything():
    study = new_study()
    assert fit(records(study)) is None
    for seed in range(5):
        add_trial(study, architecture_of((1, 1, 1)), seed=seed, accuracies=[70, 90.0])
    assert fit(records(study)) is None, "nothing differs"


def test_an_early_rung_is_read_without_bias_though_the_worst_were_stopped():
    """Rungs of one trial: final = 90 + noise, first = 75 + 0.8 (final - 90) + noise; the worst half stops."""
    rng = np.random.default_rng(7)
    final = 90 + rng.standard_normal(4000)
    first = 75 + 0.8 * (final - 90) + 0.8 * rng.standard_normal(4000)
    stopped = first < np.median(first)
    readings = early_rungs([[a] if stop else [a, b] for a, b, stop in zip(first, final, stopped)], 2)
    reading = readings[0]
    assert reading is not None
    assert readings[1] is None
    assert reading.correlation == pytest.approx(np.corrcoef(first, final)[0, 1], abs=0.04)
    read = reading.offset + reading.scale * first
    assert np.mean(read - final) == pytest.approx(0, abs=0.1)
    assert np.var(read - final) == pytest.approx(reading.variance, rel=0.15)


def test_stopped_trials_count_only_where_enough_others_say_what_they_mean():
    study = new_study()
    for index, cell in enumerate(CELLS[:4]):
        add_trial(study, architecture_of(cell), seed=0, accuracies=[70 + index, 90 + index])
    add_trial(study, architecture_of(CELLS[9]), seed=0, accuracies=[60], outcome="pruned")
    assert len(observations(records(study))) == 4
    for index, cell in enumerate(CELLS[10:14]):
        add_trial(study, architecture_of(cell), seed=0, accuracies=[70 + index, 90.5 + index])
    assert len(observations(records(study))) == 9
