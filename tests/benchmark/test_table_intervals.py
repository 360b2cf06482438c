"""The intervals where nothing differs: the fast form of ``scripts/benchmarks/table_intervals.py``."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from chattn_nas.benchmark.answers import Interval, foretelling, mixing
from chattn_nas.benchmark.compare import _over

PATH = Path(__file__).parents[2] / "scripts" / "benchmarks" / "table_intervals.py"


def load():
    spec = importlib.util.spec_from_file_location("table_intervals", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = load()


@pytest.mark.parametrize("design", ["25 x 5", "16 x 3"])
def test_folds_that_share_trainings_claim_no_more_than_they_may(design) -> None:
    """Readings share nine tenths of a training's luck with its test accuracy: 9 to 15 % claimed something."""
    table, rng = tables.Simulated(*tables.DESIGNS[design]), np.random.default_rng(0)
    mixed, tau = [], []
    for _ in range(250):
        table.draw("normal noise", np.zeros(len(table.networks)), rng)
        tau += [one.tau for one in foretelling(table) if one.reading == "loss"]
        table.drawn["accuracy"] = -table.drawn["loss"]  # what chooses shares as much
        mixed.append(mixing(table).margin)
    for intervals in (mixed, tau):
        assert np.mean([not one.low <= 0 <= one.high for one in intervals]) < 0.08


def test_the_variance_of_folds_counts_what_they_share() -> None:
    values = [0.3, -0.1, 0.4, 0.2]
    alone, folds = Interval.over(values), Interval.over(values, others=3)
    assert (alone.low, alone.high) == pytest.approx(stats.ttest_1samp(values, 0).confidence_interval(0.95))
    assert folds.high - folds.mean == pytest.approx((alone.high - alone.mean) * ((1 / 4 + 1 / 3) / (1 / 4)) ** 0.5)
    assert folds.p > alone.p
    assert folds.mean == alone.mean


def test_searches_judged_on_different_seeds_count_what_they_share() -> None:
    values = np.array([0.3, -0.1, 0.4, 0.2])
    seeds = [_over(values, [(seed,) for seed in range(4)]), _over(values, [0, 1, 2, 3])]  # of a table, and of worlds
    assert seeds[0] == pytest.approx((0.2, *((one := Interval.over(values, others=3)).low, one.high)))
    assert seeds[1] == pytest.approx((0.2, *stats.ttest_1samp(values, 0).confidence_interval(0.95)))
