"""Facts about a table: noise, the seeds that a difference needs, what rungs predict, whether mixing pays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from chattn_nas.benchmark.answers import Interval, best_of
from chattn_nas.benchmark.table import Table
from chattn_nas.judging.comparison import detectable

#: The difference, in points, that the table is asked to show, and with which probability.
SMALL, POWER = 0.3, 0.8


@dataclass(frozen=True, kw_only=True)
class TableFacts:
    """Facts about a table; accuracies in points.

    Attributes:
        networks, seeds: Trainings are their product.
        spread: Standard deviation of the networks' mean test accuracies, noise of those means taken out.
        noise: Standard deviation of one training around its network's mean and its seed's, validation accuracy.
        paired, unpaired: Standard deviation of the difference of two networks on one seed, and on two, validation.
        saved, saved_test: Share that common random numbers take off that, for validation and for test accuracy.
        seeds_needed: Pairs that show a difference of 0.3 points with a probability of 80 %.
        rung_taus: Kendall's tau between a rung and the end, over networks, mean over seeds; by epoch.
        rung_taus_across: The same with the end on another seed: what a rung says of a network.
        ceiling: The same between the ends of two seeds: no early rung of another training can be expected above it.
        additive: Share of the variance between networks, noise taken out, that main effects of the stages explain.
        interaction: Standard deviation of what main effects leave of the networks' means, noise taken out; 0 where
            nothing is left.
        type_means: Per stage the mean of every choice, in points around the average network.
        uniforms, random_gate: Mean test accuracies.
        best_uniform, best_mixed: The best by mean test accuracy among those with one choice everywhere, and the rest.
        luck: Second over first, both the best of many on the very trainings that chose them.
        margin, margin_low, margin_high: The same honestly: both chosen by validation accuracy on all seeds but one,
            and judged on that one's test accuracy; mean over seeds, 95 % as :class:`.answers.Mixing` has it.
    """

    networks: int
    seeds: int
    spread: float
    noise: float
    paired: float
    unpaired: float
    saved: float
    saved_test: float
    seeds_needed: int
    rung_taus: dict[int, float]
    rung_taus_across: dict[int, float]
    ceiling: float | None
    additive: float
    interaction: float
    type_means: dict[str, dict[str, float]]
    uniforms: dict[str, float]
    random_gate: float | None
    best_uniform: str
    best_mixed: str
    luck: float
    margin: float
    margin_low: float
    margin_high: float


def facts(table: Table) -> TableFacts:
    """Compute the facts; with one seed, those that need two are NaN."""
    validation, test = _grid(table, "accuracy"), _grid(table, "test_accuracy")
    seeds = validation.shape[1]
    noise, alone = _noise(validation)
    noise_test, alone_test = _noise(test)
    means = test.mean(1)
    error = noise_test**2 / seeds if seeds > 1 else 0.0
    between = max(float(means.var(ddof=1)) - error, 0.0)
    names = list(table.networks)
    uniform = np.array([len(set(table.networks[key].stages)) == 1 for key in names])
    first, second = best_of(means, uniform)[0], best_of(means, ~uniform)[0]
    honest = [
        test[best_of(others, ~uniform), seed].mean() - test[best_of(others, uniform), seed].mean()
        for seed in range(seeds) if seeds > 1 for others in [np.delete(validation, seed, axis=1).mean(1)]
    ]  # fmt: skip
    margin = Interval.over(honest or [float("nan")], others=seeds - 1)
    additive, interaction = _additive(table, means, error)
    control = table.control["test_accuracy"] if len(table.control) else None
    return TableFacts(
        networks=len(names), seeds=seeds, spread=between**0.5, noise=noise,
        paired=noise * 2**0.5, unpaired=alone * 2**0.5, saved=1 - noise / alone, saved_test=1 - noise_test / alone_test,
        seeds_needed=_needed(noise * 2**0.5), rung_taus=_taus(table, validation),
        rung_taus_across=_taus(table, validation, across=True), ceiling=_ceiling(validation),
        additive=additive, interaction=interaction, type_means=_type_means(table, means),
        uniforms={
            str(table.networks[names[index]].stages[0]): float(means[index]) for index in np.flatnonzero(uniform)
        },
        random_gate=None if control is None else 100 * float(control.mean()),
        best_uniform=str(table.networks[names[first]]), best_mixed=str(table.networks[names[second]]),
        luck=float(means[second] - means[first]), margin=margin.mean, margin_low=margin.low, margin_high=margin.high,
    )  # fmt: skip


def _noise(grid: np.ndarray) -> tuple[float, float]:
    """Standard deviation of one training around its network's and its seed's mean, and around its network's alone."""
    networks, seeds = grid.shape
    if seeds < 2:
        return float("nan"), float("nan")
    rest = grid - grid.mean(1, keepdims=True) - grid.mean(0) + grid.mean()
    within = float((rest**2).sum() / ((networks - 1) * (seeds - 1)))
    return within**0.5, float(grid.var(1, ddof=1).mean()) ** 0.5


def _type_means(table: Table, means: np.ndarray) -> dict[str, dict[str, float]]:
    networks = list(table.networks.values())
    by_stage = {}
    for stage in range(len(table.space.stages)):
        groups: dict[str, list[float]] = {}
        for network, mean in zip(networks, means - means.mean(), strict=True):
            groups.setdefault(str(network.stages[stage]), []).append(float(mean))
        by_stage[f"stage {stage + 1}"] = {name: float(np.mean(values)) for name, values in groups.items()}
    return by_stage


def _grid(table: Table, column: str) -> np.ndarray:
    """Accuracies in points, (networks, seeds), with networks in the order of ``table.networks``."""
    grid = table.rows.pivot(index="hash", columns="seed", values=column)
    return 100 * grid.loc[list(table.networks)].to_numpy(dtype=float)


def _needed(paired_sd: float) -> int:
    """Pairs of seeds at which a paired t test finds the small difference with the asked power."""
    if not paired_sd > 0:
        return 2
    return next((n for n in range(2, 2000) if detectable(paired_sd, n, power=POWER) <= SMALL), 2000)


def _taus(table: Table, end: np.ndarray, *, across: bool = False) -> dict[int, float]:
    """Kendall's tau between every rung and the end of the same trainings or, with ``across``, on other seeds."""
    seeds = range(end.shape[1])
    by_rung = {}
    for epoch in table.rungs[:-1]:
        early = _grid(table, f"epoch{epoch}")
        pairs = [(a, b) for a in seeds for b in seeds if (a != b) is across]
        taus = [stats.kendalltau(early[:, a], end[:, b]).statistic for a, b in pairs]
        by_rung[epoch] = float(np.mean(taus)) if taus else float("nan")
    return by_rung


def _ceiling(end: np.ndarray) -> float | None:
    pairs = list(combinations(range(end.shape[1]), 2))
    if not pairs:
        return None
    return float(np.mean([stats.kendalltau(end[:, a], end[:, b]).statistic for a, b in pairs]))


def _additive(table: Table, means: np.ndarray, error: float) -> tuple[float, float]:
    """Explained by one effect per stage and choice, as a share of what is no noise, and the sd of what is left."""
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
    left = float(((means - fitted) ** 2).sum()) / max(1, whole - effects) - error
    return (min(1.0, max(0.0, explained / total)) if total > 0 else float("nan")), max(left, 0.0) ** 0.5
