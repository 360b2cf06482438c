"""Answers from a long table, with intervals over seeds.

The seed is the unit of every interval: trainings of one seed share luck by type and stage (type x seed), so a figure is
computed per seed, and Student's t is taken over seeds. Where a seed's figure hangs on trainings of the other seeds as
well, the interval counts what figures share. Everything follows from the rows of the CSV.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from chattn_nas.judging.holm import holm

#: Networks outside the design that something else put first: a one-shot ranking, or another table.
PICKED = "picked"
#: Plans of a table whose trainings answer its questions: the long ones, and what may foretell them.
PLANS = ("table", "lengths", "fewer", "narrow", PICKED)
#: What a short training may be read by; for the last two less is better.
READINGS = ("accuracy", "loss", "train_loss_sum")


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds with its 95 % interval by Student's t, and how likely so large a mean is by chance.

    Attributes:
        mean, low, high: In the unit of the values.
        p: Two-sided, against 0; NaN with fewer than two seeds.
        seeds: How many values there were.
    """

    mean: float
    low: float
    high: float
    p: float
    seeds: int

    @classmethod
    def over(cls, values: Sequence[float] | np.ndarray, *, others: int = 0) -> Interval:
        """The mean of one value per seed, with its 95 % interval and t test.

        Args:
            values: One per seed.
            others: How many other seeds each value hangs on too. Such values share trainings, so their mean scatters
                more than that of independent ones: its variance is 1 / count + 1 / others times theirs, not 1 / count
                (Nadeau, Bengio 2003, "Inference for the generalization error").
        """
        sample = np.asarray(values, dtype=float)
        count, mean = len(sample), float(sample.mean())
        if count < 2:
            return cls(mean, float("nan"), float("nan"), float("nan"), count)
        error = float(sample.std(ddof=1)) * (1 / count + (1 / others if others else 0)) ** 0.5
        half = float(stats.t.ppf(0.975, count - 1)) * error
        p = float(2 * stats.t.sf(abs(mean) / error, count - 1)) if error > 0 else float("nan")
        return cls(mean, mean - half, mean + half, p, count)

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """The value of one type against ``none``, in points of test accuracy.

    Attributes:
        type: Name of the type.
        stage: From 1, in the mean over what the other stages have; ``None``: in every stage.
        gain: Over seeds.
        holm: ``gain.p`` corrected for all effects of its table (Holm 1979).
        parameters, macs: Costs added, as a part of those of the plain backbone; of a uniform network only.
    """

    type: str
    stage: int | None
    gain: Interval
    holm: float
    parameters: float | None = None
    macs: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixing:
    """Whether mixing types pays.

    Attributes:
        chosen: On each seed, the best mixed and the best uniform network by the other seeds' validation accuracy.
        margin: Test accuracy of the mixed one over the uniform one on the seed that chose neither, in points.
        lucky: The same for the best of the whole table, judged where it was chosen: what luck makes of it.
    """

    chosen: tuple[tuple[str, str], ...]
    margin: Interval
    lucky: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Picked:
    """What networks gave that something else put first.

    Attributes:
        gains: Per network its gain over ``none`` in points of test accuracy, and that p-value after Holm.
        over_none: Of their mean.
        over_design: Their mean less that of the networks of the design.
    """

    gains: tuple[tuple[str, Interval, float], ...]
    over_none: Interval
    over_design: Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Interactions:
    """Whether the effects of the stages add up.

    Attributes:
        f, p: F statistic and p-value of what main effects leave of the networks' means, over their noise between seeds.
        df: Degrees of freedom above and below.
        deviation: Estimated standard deviation of the interactions, in points; 0 where noise explains all.
        additive: That of the additive part.
        type_by_seed: That of a type's effect in one stage between seeds.
        noise: That of one training around all of these.
    """

    f: float
    p: float
    df: tuple[int, int]
    deviation: float
    additive: float
    type_by_seed: float
    noise: float


class Regime(NamedTuple):
    """How long, on how many images and at which width of the backbone networks were trained; 0 where it has none."""

    epochs: int
    images: int
    width: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Foretelling:
    """The agreement between the rankings by one short training and by long ones.

    Attributes:
        regime, reading: The short training, and what is read from it.
        cost: Its cost as a fraction of a long training: epochs x images x MACs.
        tau: Kendall's tau to the mean test accuracy of long trainings on the other seeds.
    """

    regime: Regime
    reading: str
    cost: float
    tau: Interval


class LongTable:
    """The rows of a long table.

    Args:
        rows: As :func:`.trainings.read_trainings` gives them, or read from CSV: one per training. Of several plans
            only :data:`PLANS` count.
        start: Only trainings from this start.

    Attributes:
        costs: Every regime of training, the cheapest first, and its cost as a fraction of the long one.
        long: The regime of the long trainings: that which costs most.
        networks: Hashes of the networks trained that long on all :attr:`seeds`, controls and picked ones left out.
        crossed: Those whose types all stand in mixed networks too: the others say nothing about single stages.
        controls: Those of ``channel_scale`` and ``random_gate``.
        picked: Those of the plan :data:`PICKED`.
        types: Per network, one type per stage.
    """

    CONTROLS = frozenset({"channel_scale", "random_gate"})

    def __init__(self, rows: pd.DataFrame, *, start: str = "unit") -> None:
        kept = (rows["start"] == start) & (rows["branches"] == 1) & (rows["outcome"] == "complete")
        self.rows = rows[kept & rows["plan"].isin(PLANS)] if "plan" in rows else rows[kept]
        regimes = self.rows.reindex(columns=list(Regime._fields)).fillna(0).astype(int)
        self.regimes = pd.Series(list(map(Regime._make, regimes.itertuples(index=False))), index=self.rows.index)
        work = {
            regime: regime.epochs * max(1, regime.images) * float(self.rows["macs"][self.regimes == regime].median())
            for regime in self.regimes.unique()
        }
        *_, self.long = cheapest_first = sorted(work, key=lambda regime: work[regime])
        self.costs = {regime: work[regime] / work[self.long] for regime in cheapest_first}
        ends = self.rows[self.regimes == self.long]
        # Narrower networks have other hashes.
        self.rows = self.rows.assign(hash=self.rows["stages"].map(dict(zip(ends["stages"], ends["hash"], strict=True))))
        counts = ends.groupby("seed")["hash"].nunique()
        self.seeds = tuple(int(seed) for seed in counts[counts == ends["hash"].nunique()].index)
        self.types = {
            str(key): tuple(choice["type"] for choice in json.loads(text))
            for key, text in ends.drop_duplicates("hash").set_index("hash")["stages"].items()
        }
        self.controls = [key for key, types in self.types.items() if self.CONTROLS & set(types)]
        self.picked = list(ends["hash"][ends["plan"] == PICKED].unique()) if "plan" in ends else []
        self.networks = [key for key in self.types if key not in {*self.controls, *self.picked}]
        mixed = {name for key in self.networks if not self.is_uniform(key) for name in self.types[key]}
        self.crossed = [key for key in self.networks if mixed.issuperset(self.types[key])]
        self.first = ends.drop_duplicates("hash").set_index("hash")

    def grid(self, column: str, *, regime: Regime | None = None, networks: Sequence[str] | None = None) -> np.ndarray:
        """(networks, seeds); accuracies in percent. NaN where a training is missing."""
        rows = self.rows[self.regimes == (regime or self.long)]
        grid = rows.pivot_table(index="hash", columns="seed", values=column)
        grid = grid.reindex(index=list(networks or self.networks), columns=list(self.seeds))
        return grid.to_numpy(dtype=float) * (100 if column.endswith("accuracy") else 1)

    def is_uniform(self, key: str) -> bool:
        """Whether a network has one type everywhere."""
        return len(set(self.types[key])) == 1

    def uniform(self, name: str) -> str | None:
        """The hash of the network with one type everywhere."""
        return next((key for key, types in self.types.items() if set(types) == {name}), None)

    def name(self, key: str) -> str:
        """A network's types, stage by stage."""
        types = self.types[key]
        return types[0] if self.is_uniform(key) else " | ".join(types)


def uniform_effects(table: LongTable) -> list[Effect]:
    """Every type in every stage against ``none``, controls included, paired on seeds."""
    bare = table.uniform("none")
    if bare is None:
        return []
    base = table.grid("test_accuracy", networks=[bare])[0]
    effects = []
    for key, types in table.types.items():
        if table.is_uniform(key) and key != bare:
            gain = Interval.over(table.grid("test_accuracy", networks=[key])[0] - base)
            costs = {
                name: float(table.first[name][key]) / float(table.first[name][bare]) - 1
                for name in ("parameters", "macs")
            }
            effects.append((types[0], None, gain, costs))
    return _corrected(effects)


def stage_effects(table: LongTable) -> list[Effect]:
    """Every type in every stage against ``none`` there: main effects, fitted on each seed alone."""
    if not table.crossed:
        return []
    design, labels = _design(table)
    values = table.grid("test_accuracy", networks=table.crossed)
    fitted = np.linalg.lstsq(design, values, rcond=None)[0]
    return _corrected(
        [(name, stage, Interval.over(row), {}) for (stage, name), row in zip(labels, fitted[1:], strict=True)]
    )


def mixing(table: LongTable) -> Mixing | None:
    """Choose on all seeds but one, judge on that one: among networks of the same types."""
    uniform = np.array([table.is_uniform(key) for key in table.crossed])
    if len(table.seeds) < 2 or not uniform.any():
        return None
    validation, test = (table.grid(name, networks=table.crossed) for name in ("accuracy", "test_accuracy"))
    margins, chosen = [], []
    for left in range(len(table.seeds)):
        means = np.delete(validation, left, 1).mean(1)
        mixed, same = best_of(means, ~uniform), best_of(means, uniform)
        margins.append(test[mixed, left].mean() - test[same, left].mean())
        first, second = (" or ".join(table.name(table.crossed[one]) for one in best) for best in (mixed, same))
        chosen.append((first, second))
    means = test.mean(1)
    lucky = float(means[~uniform].max() - means[uniform].max())
    return Mixing(chosen=tuple(chosen), margin=Interval.over(margins, others=len(margins) - 1), lucky=lucky)


def picked(table: LongTable) -> Picked | None:
    """What the picked networks gained, paired on seeds; ``None`` where a table has none."""
    bare = table.uniform("none")
    if bare is None or not table.picked:
        return None
    values = table.grid("test_accuracy", networks=table.picked)
    base = table.grid("test_accuracy", networks=[bare])[0]
    gains = [Interval.over(row - base) for row in values]
    return Picked(
        gains=tuple(zip(map(table.name, table.picked), gains, holm([one.p for one in gains]), strict=True)),
        over_none=Interval.over(values.mean(0) - base),
        over_design=Interval.over(values.mean(0) - table.grid("test_accuracy").mean(0)),
    )


def interactions(table: LongTable) -> Interactions:
    """Analysis of variance: main effects, main effects x seed, what they leave of the networks, noise."""
    values = table.grid("test_accuracy", networks=table.crossed)
    networks, seeds = values.shape
    design, _ = _design(table)
    rank = int(np.linalg.matrix_rank(design))
    project = design @ np.linalg.pinv(design)
    means = values.mean(1)
    left = means - project @ means
    within = values - means[:, None] - (values - means[:, None]).mean(0)
    by_seed = project @ within
    noise = within - by_seed
    df = (networks - rank, (networks - rank) * (seeds - 1))
    ms_left = seeds * float((left**2).sum()) / max(1, df[0])
    ms_noise = float((noise**2).sum()) / max(1, df[1])
    ms_by_seed = float((by_seed**2).sum()) / max(1, (rank - 1) * (seeds - 1))
    ms_main = seeds * float((((project @ means) - means.mean()) ** 2).sum()) / max(1, rank - 1)
    types = zip(*(table.types[key] for key in table.crossed), strict=True)
    per_level = networks / max(len(set(one)) for one in types)
    f = ms_left / ms_noise if ms_noise > 0 else float("nan")
    return Interactions(
        f=f,
        p=float(stats.f.sf(f, *df)),
        df=df,
        deviation=max(0.0, (ms_left - ms_noise) / seeds) ** 0.5,
        additive=max(0.0, (ms_main - ms_by_seed) / (seeds * per_level)) ** 0.5,
        type_by_seed=max(0.0, (ms_by_seed - ms_noise) / per_level) ** 0.5,
        noise=ms_noise**0.5,
    )


def foretelling(table: LongTable) -> list[Foretelling]:
    """Every regime of training and reading; the last is the ceiling, another long training."""
    truth = table.grid("test_accuracy")
    rows = []
    for regime, cost in table.costs.items():
        for reading in READINGS:
            short = table.grid(reading, regime=regime) * (1 if reading == "accuracy" else -1)
            taus = [
                float(stats.kendalltau(short[known, seed], np.delete(truth, seed, 1).mean(1).round(9)[known]).statistic)
                for seed in range(len(table.seeds))
                if (known := ~np.isnan(short[:, seed])).sum() > 2
            ]
            if taus and len(table.seeds) > 1:
                tau = Interval.over(taus, others=len(table.seeds) - 1)
                rows.append(Foretelling(regime=regime, reading=reading, cost=cost, tau=tau))
    return rows


def best_of(means: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Indices of the largest among some of the means: several where they tie, in which order must not decide."""
    best: np.ndarray = np.flatnonzero(among & (means >= means[among].max() - 1e-9))
    return best


def _design(table: LongTable) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Intercept and a column per stage and type of the crossed networks, ``none`` being 0."""
    types = [table.types[key] for key in table.crossed]
    labels = [
        (stage + 1, name) for stage in range(len(types[0])) for name in sorted({row[stage] for row in types} - {"none"})
    ]
    columns = [[row[stage - 1] == name for row in types] for stage, name in labels]
    return np.column_stack([np.ones(len(types)), *np.array(columns, dtype=float)]), labels


def _corrected(effects: Sequence[tuple[str, int | None, Interval, dict[str, float]]]) -> list[Effect]:
    corrected = holm([gain.p for _, _, gain, _ in effects])
    return [
        Effect(type=name, stage=stage, gain=gain, holm=p, **costs)
        for p, (name, stage, gain, costs) in zip(corrected, effects, strict=True)
    ]
