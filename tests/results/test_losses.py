"""Losses as further readings of a training: read where a study shows their worth, and never the verdict."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from chattn_nas.report.verdict import _views
from chattn_nas.results.pooled import Observation, fitted

TYPES = ("none", "a", "b", "c")
CELLS = list(itertools.product(range(4), repeat=3))
LOSS = "sum of training losses"


def choices(cell):
    return tuple((TYPES[kind], f"{TYPES[kind]} s0") for kind in cell)


def study(seed: int, trainings: int = 40, *, noise: float = 0.8, shift: float = 0.0, blind: bool = False):
    """Truth of every cell, and trainings whose loss scatters little.

    ``shift``: what type c adds to the loss alone, as if it regularised on purpose; ``blind``: the loss tells nothing.
    """
    rng = np.random.default_rng(seed)
    effects = rng.normal(0, 0.4, (3, 4))
    truth = np.array([sum(effects[stage, kind] for stage, kind in enumerate(cell)) for cell in CELLS])
    seen = []
    for index in rng.integers(len(CELLS), size=trainings):
        worth = 0.0 if blind else truth[index] + shift * CELLS[index].count(3)
        loss = 5 - 0.1 * (worth + (2.0 if blind else 0.2) * rng.normal())
        end = 90 + truth[index] + noise * rng.normal()
        seen.append(Observation(choices(CELLS[index]), 0, end, views={LOSS: -loss}))
    return truth, seen


def without_losses(seen):
    return fitted([Observation(one.choices, one.seed, one.accuracy) for one in seen])


def test_a_loss_that_scatters_less_ranks_better_and_its_worth_is_told():
    taus = []
    for seed in range(4):
        truth, seen = study(seed)
        model, plain = fitted(seen), without_losses(seen)
        assert plain.views == ()
        every = [choices(cell) for cell in CELLS]
        taus.append([stats.kendalltau(one.predict(every).mean, truth).statistic for one in (model, plain)])
        if model.views:
            assert model.worth[LOSS] > 1, "a loss tells more than the accuracy here"
    with_losses, plain = np.mean(taus, axis=0)
    assert with_losses > plain + 0.05
    said = next(_views(SimpleNamespace(views={LOSS: 2.6})))
    assert said == (
        "To rank, the model also reads sum of training losses (260 % of what the accuracy tells); the verdict is on "
        "accuracy."
    )
    assert list(_views(SimpleNamespace(views={}))) == []


def test_a_loss_that_tells_nothing_is_not_read():
    read = [bool(fitted(study(seed, blind=True)[1]).views) for seed in range(8)]
    assert sum(read) <= 2


def test_a_type_that_regularises_on_purpose_is_not_taken_for_a_bad_one():
    """Its losses are far worse than those of types that are no better: read as one line, they would sink it."""
    away = []
    for seed in range(6):
        _, seen = study(seed, 60, shift=-1.5)
        both = [one.effects(0, list(TYPES)).mean[3] for one in (fitted(seen), without_losses(seen))]
        away.append(both[0] - both[1])
    assert abs(np.mean(away)) < 0.3, "of 1.5 points by the loss alone"


@pytest.mark.parametrize("unit", [1.0, 1e-3])
def test_predictions_are_accuracies_in_whatever_unit_a_loss_is(unit):
    _, seen = study(0, 30)
    other = [Observation(one.choices, one.seed, one.accuracy, views={LOSS: unit * one.views[LOSS] + 7}) for one in seen]
    found, same = fitted(seen), fitted(other)
    every = [choices(cell) for cell in CELLS]
    assert same.predict(every).mean == pytest.approx(found.predict(every).mean, abs=0.02)
    assert 85 < found.predict(every).mean.mean() < 95
