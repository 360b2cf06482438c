"""What a table says by itself: noise, how many seeds a difference needs, what rungs foretell, whether mixing pays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from chattn_nas.benchmark.table import Table
from chattn_nas.judging.comparison import detectable

#: The difference, in points, that the table is asked to show, and with which probability.
SMALL, POWER = 0.3, 0.8


@dataclass(frozen=True, kw_only=True)
class TableFacts:
    """Accuracies in points.

    Attributes:
        networks, seeds: Trainings are their product.
        spread: Standard deviation of the networks' mean test accuracies, noise of those means taken out.
        noise: Standard deviation of one training around its network's mean and its seed's, validation accuracy.
        paired, unpaired: Standard deviation of the difference of two networks on one seed, and on two seeds.
        seeds_needed: Pairs that show a difference of 0.3 points with a probability of 80 %.
        rung_taus: Kendall's tau between a rung and the end, over networks, mean over seeds; by epoch.
        ceiling: The same between the ends of two seeds: no early rung of another training can be expected above it.
        additive: Share of the variance between networks, noise taken out, that main effects of the stages explain.
        best_uniform, best_mixed: The best by mean test accuracy among those with one choice everywhere, and the rest.
        margin, margin_low, margin_high: Second over first by pairs of seeds, 95 % by Student's t; best of many, so
            favoured by luck.
    """

    networks: int
    seeds: int
    spread: float
    noise: float
    paired: float
    unpaired: float
    seeds_needed: int
    rung_taus: dict[int, float]
    ceiling: float | None
    additive: float
    best_uniform: str
    best_mixed: str
    margin: float
    margin_low: float
    margin_high: float


def facts(table: Table) -> TableFacts:
    """Compute them; with one seed, what needs two is NaN."""
    validation, test = _grid(table, "accuracy"), _grid(table, "test_accuracy")
    seeds = validation.shape[1]
    residual = validation - validation.mean(1, keepdims=True) - validation.mean(0) + validation.mean()
    freedom = max(1, (len(validation) - 1) * (seeds - 1))
    noise = float(np.sqrt((residual**2).sum() / freedom)) if seeds > 1 else float("nan")
    alone = float(np.sqrt(validation.var(1, ddof=1).mean())) if seeds > 1 else float("nan")
    means = test.mean(1)
    error = float((test - means[:, None] - test.mean(0) + test.mean()).var() * seeds / max(1, seeds - 1) / seeds)
    between = max(float(means.var(ddof=1)) - error, 0.0)
    names = list(table.networks)
    uniform = [len(set(table.networks[key].stages)) == 1 for key in names]
    first, second = (
        max((i for i in range(len(names)) if uniform[i] is one), key=lambda i: means[i]) for one in (True, False)
    )
    difference = test[second] - test[first]
    half = float(stats.t.ppf(0.975, seeds - 1) * difference.std(ddof=1) / seeds**0.5) if seeds > 1 else float("nan")
    return TableFacts(
        networks=len(names), seeds=seeds, spread=between**0.5, noise=noise,
        paired=noise * 2**0.5, unpaired=alone * 2**0.5, seeds_needed=_needed(noise * 2**0.5),
        rung_taus=_taus(table, validation), ceiling=_ceiling(validation),
        additive=_additive(table, means, error), best_uniform=str(table.networks[names[first]]),
        best_mixed=str(table.networks[names[second]]), margin=float(difference.mean()),
        margin_low=float(difference.mean()) - half, margin_high=float(difference.mean()) + half,
    )  # fmt: skip


def _grid(table: Table, column: str) -> np.ndarray:
    """(networks, seeds) in points, networks in the order of ``table.networks``."""
    grid = table.rows.pivot(index="hash", columns="seed", values=column)
    return 100 * grid.loc[list(table.networks)].to_numpy(dtype=float)


def _needed(paired: float) -> int:
    """Pairs of seeds at which a paired t test finds the small difference with the asked power."""
    if not paired > 0:
        return 2
    return next((n for n in range(2, 2000) if detectable(paired, n, power=POWER) <= SMALL), 2000)


def _taus(table: Table, end: np.ndarray) -> dict[int, float]:
    found = {}
    for epoch in table.rungs[:-1]:
        early = _grid(table, f"epoch{epoch}")
        found[epoch] = float(np.mean([stats.kendalltau(early[:, s], end[:, s]).statistic for s in range(end.shape[1])]))
    return found


def _ceiling(end: np.ndarray) -> float | None:
    pairs = list(combinations(range(end.shape[1]), 2))
    if not pairs:
        return None
    return float(np.mean([stats.kendalltau(end[:, a], end[:, b]).statistic for a, b in pairs]))


def _additive(table: Table, means: np.ndarray, error: float) -> float:
    """Explained by one effect per stage and choice, as a share of what is no noise; both corrected for noise."""
    stages = [
        pd.Series([str(network.stages[s]) for network in table.networks.values()])
        for s in range(len(table.space.stages))
    ]
    design = np.column_stack(
        [np.ones(len(means)), *(pd.get_dummies(one, drop_first=True).to_numpy(float) for one in stages)]
    )
    fitted = design @ np.linalg.lstsq(design, means, rcond=None)[0]
    effects, whole = design.shape[1] - 1, len(means) - 1
    explained = float(((fitted - means.mean()) ** 2).sum()) - effects * error
    total = float(((means - means.mean()) ** 2).sum()) - whole * error
    return min(1.0, max(0.0, explained / total)) if total > 0 else float("nan")
