"""Networks trained on the same seeds: is one better than another, and by how much?

Networks by seeds are a randomised block design: what remains around a network's mean and a seed's mean is the error of
all of them (Fisher 1935). A difference is tested against its own spread, that of its two networks around the rest, and
a part of the rest's, with Satterthwaite's degrees of freedom (1946); all differences of a family at once, by the
largest of them (Dunnett 1955): intervals are simultaneous, and a verdict never contradicts its interval.
scripts/benchmarks/judging.py measures error rates and power, also with heavy tails, unequal variances and collapses;
docs/judging.md has the table.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import numpy as np
from scipy import optimize, stats

from chattn_nas.errors import InputError

Judgement = Literal["better", "worse", "no difference shown"]
ALPHA = 0.05
#: Up to this number of seeds every resample is enumerated (5 ** 5 = 3,125; 6 ** 6 = 46,656); beyond, 20,000 are drawn.
EXACT, RESAMPLES, MINIMAL_BOOTSTRAP = 6, 20_000, 4
#: Weight of a direction among other networks in a difference's variance, its own being 1. With all of it (1, the whole
#: block's error) five seeds find 1.2 points in a fifth more of all studies, but far more than 5 % of sets of equal
#: networks are called different where one or two of them scatter more than the rest: docs/judging.md has both.
BORROWED = 0.05
#: With fewer seeds than this less is borrowed: with all of it two seeds call equal networks different too often where
#: one network scatters far more than the rest (scripts/benchmarks/judging_tried.py lending).
WHOLE_FROM = 5
#: A training this many robust standard deviations from the effects of its network and seed is an outlier: a collapse,
#: mostly. It counts, but its network neither lends its spread to others nor borrows theirs.
OUTLYING = 12.0
DRAWS = 200_000
#: Largest number of seeds that is counted exactly; nobody confirms with more.
MOST_SEEDS = 10_000


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """First minus second; in points where the accuracies were.

    Attributes:
        seeds: Number of pairs.
        mean, sd: Mean and standard deviation of the differences.
        t_low, t_high: Interval that holds at once with those of its family, at a level of 1 - ``alpha``; ``None`` where
            neither network scatters, nor anything beside them: nothing tells then how far it might, and the sign test
            judges.
        bootstrap_low, bootstrap_high: 95 % interval of this difference alone by the paired bootstrap; ``None`` with
            fewer than four seeds.
        p: Two-sided, corrected for all comparisons of the family.
        sign_p: Two-sided exact sign test; ties left out.
        detectable: The smallest true difference that so many seeds show with a probability of 80 %; ``None`` without an
            interval.
        judgement: Whether the interval, or the sign test without one, excludes zero.
        alpha: Error that the family may make at this look.
        announced: What is said of a difference that was shown: the estimate given that it was shown (Zhong, Prentice
            2008). The mean itself is too large then: without luck it would often not have been shown.
    """

    seeds: int
    mean: float
    sd: float
    t_low: float | None
    t_high: float | None
    bootstrap_low: float | None
    bootstrap_high: float | None
    p: float
    sign_p: float
    detectable: float | None
    judgement: Judgement
    alpha: float = ALPHA
    announced: float | None = None

    @property
    def level(self) -> str:
        """The level at which the intervals of the family hold together: ``96.2 %``."""
        return f"{100 * (1 - self.alpha):.3g} %"

    @property
    def size(self) -> float:
        """The difference as it is reported, unsigned."""
        return abs(self.mean if self.announced is None else self.announced)

    @property
    def words(self) -> str:
        """``better by about 0.42 points``, or what so many seeds could have shown."""
        if self.judgement == "no difference shown" and self.detectable is None:
            return (
                f"no difference shown: it is the same on all {self.seeds} seeds, and nothing tells how far it scatters"
            )
        if self.judgement == "no difference shown":
            return f"no difference shown: {self.seeds} seeds can show differences above {self.detectable:.2f} points"
        return f"{self.judgement} by about {self.size:.2f} points"


def compare(first: Sequence[float], second: Sequence[float], *, alpha: float = ALPHA) -> Comparison:
    """Compare two networks with the paired t test; their n-th values come from the same seed.

    Args:
        first, second: Accuracies in points, one per seed, in the same order.
        alpha: Probability of showing a difference that is not there.

    Raises:
        InputError: Fewer than two pairs, or unequal numbers.
    """
    if len(first) != len(second) or len(first) < 2:
        raise InputError(f"a comparison needs the same two or more seeds for both, not {len(first)} and {len(second)}")
    return compare_block(np.array([first, second], dtype=float), [(0, 1)], alpha=alpha)[0]


def compare_block(
    accuracies: np.ndarray, pairs: Sequence[tuple[int, int]], *, alpha: float = ALPHA
) -> list[Comparison]:
    """Compare pairs of networks that were trained on the same seeds, together.

    Args:
        accuracies: (networks, seeds) in points; two seeds or more.
        pairs: Indices of networks, first minus second; one family.
        alpha: Probability of showing any difference of the family that is not there.
    """
    if not pairs:
        return []
    networks, seeds = accuracies.shape
    sharing = np.flatnonzero(~outliers(accuracies).any(1))
    comparisons = []
    for one, other in pairs:
        differences = accuracies[one] - accuracies[other]
        mean, sd = float(differences.mean()), float(differences.std(ddof=1))
        mixed, freedom = _spread(accuracies, one, other, sharing)
        limits = _largest(tuple(pairs), networks, freedom)
        limit = _limit(limits, freedom, len(pairs), alpha)
        # Rounding makes equal differences unequal in the 16th digit; a test on that would be one of the arithmetic.
        constant = mixed <= 1e-12 * max(1.0, abs(mean))
        standard = mixed / math.sqrt(seeds)
        half = limit * standard
        plus, minus = int((differences > 1e-12).sum()), int((differences < -1e-12).sum())
        sign_p = _sign_p(plus, plus + minus)
        # Few images make equal differences common: no sign of certainty, and only the sign test needs no spread.
        p = min(1.0, len(pairs) * sign_p) if constant else _p(limits, freedom, len(pairs), abs(mean) / standard)
        shown = p < alpha
        low, high = (None, None) if constant else bootstrap(differences)
        comparisons.append(
            Comparison(
                seeds=seeds, mean=mean, sd=sd, t_low=None if constant else mean - half,
                t_high=None if constant else mean + half, bootstrap_low=low, bootstrap_high=high, p=p, sign_p=sign_p,
                detectable=None if constant else _shown_by(limit, freedom, 0.8) * standard, alpha=alpha,
                judgement="no difference shown" if not shown else "better" if mean > 0 else "worse",
                announced=math.copysign(given_shown(abs(mean) / standard, limit) * standard, mean)
                if shown and not constant else None,
            )
        )  # fmt: skip
    return comparisons


def outliers(accuracies: np.ndarray) -> np.ndarray:
    """Find trainings that lie far from the effects of their network and seed; (networks, seeds) of bool.

    Uses medians (Tukey's median polish), since outliers distort a mean. If most trainings agree to the digit, as with
    few images, nothing is an outlier.
    """
    rest, _, limit = _polished(accuracies)
    return np.abs(rest) > limit


def told_outliers(accuracies: np.ndarray) -> np.ndarray:
    """The outliers that a reader is told of.

    Where most networks collapse on one seed, or one does on most seeds, medians take the collapses for usual and
    :func:`outliers` finds the others. Where spreads are lent that is cautious, but it is said of the wrong trainings:
    what lies where other seeds, or networks, have it is no outlier, and the rest of its seed or network is.
    """
    rest, effects, limit = _polished(accuracies)
    far = np.abs(rest) > limit
    for axis, effect in enumerate(effects):
        beyond = effect - np.median(effect)
        off = np.abs(rest + beyond) > limit
        turned = (np.abs(beyond) > limit) & (far & ~off).any(axis, keepdims=True)
        far = np.where(turned, off, far)
    return far


def _polished(accuracies: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], float]:
    """What medians of seeds and networks leave, these medians, and how far an outlier is; infinite where none is."""
    rest = np.array(accuracies, dtype=float)
    effects = np.zeros((1, rest.shape[1])), np.zeros((len(rest), 1))
    for _ in range(3):
        for axis in (1, 0):
            median = np.median(rest, axis=axis, keepdims=True)
            rest -= median
            effects[axis][:] += median
    # Medians leave residuals that are zero: the others tell the scale.
    apart = np.abs(rest[np.abs(rest) > 1e-9])
    if len(rest) < 3 or len(apart) < rest.size / 2:
        return rest, effects, math.inf
    return rest, effects, OUTLYING * 1.4826 * float(np.median(apart))


def _spread(accuracies: np.ndarray, one: int, other: int, sharing: np.ndarray) -> tuple[float, float]:
    """Standard deviation of the difference of two networks on one seed, and its degrees of freedom.

    Around their seed's mean, k networks scatter in k - 1 directions of equal variance where all are alike: the
    difference itself, the two against the rest, and k - 3 within the rest. Where they are not, the second is theirs for
    the greater part, and the last say nothing of them: these lend their spread by :func:`_weights`.
    """
    centred = accuracies - accuracies.mean(1, keepdims=True)
    apart, seeds = centred[one] - centred[other], accuracies.shape[1]
    own = float((apart**2).sum()) / 2
    rest = [index for index in sharing if index not in (one, other)]
    if not rest or not {one, other} <= set(sharing.tolist()):
        return math.sqrt(2 * own / (seeds - 1)), float(seeds - 1)
    away = (centred[one] + centred[other] - 2 * centred[rest].mean(0)) / math.sqrt(2)
    against = float((away**2).sum()) / (1 + 2 / len(rest))
    others = float(((centred[rest] - centred[rest].mean(0)) ** 2).sum())
    theirs, each = _weights(len(rest), seeds)
    variance = 2 * (own + theirs * against + each * others) / _total(len(rest), seeds) / (seeds - 1)
    return math.sqrt(variance), _freedom(len(rest), seeds, _shared(apart, away))


def _shared(apart: np.ndarray, away: np.ndarray) -> float:
    """Squared correlation of two directions, less what chance gives (Ezekiel 1930), in tenths: each takes a limit.

    Where one network scatters far more than all others, both directions are its scatter: the same degrees of freedom.
    Two seeds cannot tell.
    """
    both, freedom = float((apart**2).sum() * (away**2).sum()), len(apart) - 1
    if freedom < 2 or both == 0:
        return 0.0
    return round(max(0.0, (freedom * float((apart * away).sum()) ** 2 / both - 1) / (freedom - 1)), 1)


def _weights(rest: int, seeds: int) -> tuple[float, float]:
    """Weights of the direction against ``rest`` other networks, and of each one within these; the difference has 1."""
    some = min(1.0, (seeds - 1) / (WHOLE_FROM - 1))
    return some * rest / (rest + 2), some * BORROWED  # the first: the part of it that is the two networks'


def _total(rest: int, seeds: int) -> float:
    theirs, each = _weights(rest, seeds)
    return 1 + theirs + each * max(0, rest - 1)


def _freedom(rest: int, seeds: int, shared: float = 0.0) -> float:
    """Satterthwaite's degrees of freedom where all networks scatter alike, but for what two directions share."""
    theirs, each = _weights(rest, seeds)
    alike = 1 + theirs**2 + 2 * theirs * shared + each**2 * max(0, rest - 1)
    return (seeds - 1) * _total(rest, seeds) ** 2 / alike


def block_error(accuracies: np.ndarray) -> float:
    """Standard deviation of one training around the means of its network and seed; (networks, seeds) in points."""
    networks, seeds = accuracies.shape
    rest = accuracies - accuracies.mean(1, keepdims=True) - accuracies.mean(0) + accuracies.mean()
    return float(np.sqrt((rest**2).sum() / ((networks - 1) * (seeds - 1))))


def given_shown(t: float, limit: float) -> float:
    """The most likely true difference, in standard errors, of one that was shown because it exceeded ``limit``."""
    grid = np.linspace(0, max(t, limit) + 1, 2001)
    chance = np.logaddexp(stats.norm.logsf(limit - grid), stats.norm.logcdf(-limit - grid))  # two seeds: limits of 40
    return float(grid[np.argmax(-0.5 * (t - grid) ** 2 - chance)])


@cache
def _sign_p(plus: int, count: int) -> float:
    return float(stats.binomtest(plus, count).pvalue) if count else 1.0


@lru_cache(maxsize=64)  # each is 1.6 MB
def _largest(pairs: tuple[tuple[int, int], ...], networks: int, freedom: float) -> np.ndarray:
    """Draws of the largest difference of a family in standard errors where there is none, sorted; (DRAWS,)."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((DRAWS, networks))
    first, second = np.array(pairs).T
    largest = np.abs(means[:, first] - means[:, second]).max(1) / math.sqrt(2)
    return np.sort(largest / np.sqrt(rng.chisquare(freedom, DRAWS) / freedom))


def _limit(largest: np.ndarray, freedom: float, family: int, alpha: float) -> float:
    if family == 1:
        return float(stats.t.ppf(1 - alpha / 2, freedom))
    return float(largest[math.ceil((1 - alpha) * DRAWS) - 1])  # sorted


def _p(largest: np.ndarray, freedom: float, family: int, t: float) -> float:
    if family == 1:
        return float(2 * stats.t.sf(t, freedom))
    return float((DRAWS - np.searchsorted(largest, t)) / DRAWS)


def bootstrap(differences: np.ndarray) -> tuple[float | None, float | None]:
    """95 % interval of the mean by the studentised bootstrap over seeds; ``None`` with fewer than four.

    The plain percentile interval is far too short with few seeds (Hesterberg 2015); the studentised one is not (Hall
    1988, "Theoretical comparison of bootstrap confidence intervals"). With three seeds one resample in nine has no
    spread at all, and there is no such interval.
    """
    n = len(differences)
    mean, error = differences.mean(), differences.std(ddof=1) / math.sqrt(n)
    if n < MINIMAL_BOOTSTRAP:
        return None, None
    small = 1e-12 * max(1.0, float(abs(mean)))
    if error <= small:
        return float(mean), float(mean)
    drawn = differences[_draws(n)]
    away, spread = drawn.mean(axis=1) - mean, drawn.std(axis=1, ddof=1) / math.sqrt(n)
    level = spread <= small
    ratio = np.where(level, np.copysign(np.inf, away), away / np.where(level, 1.0, spread))
    low, high = np.quantile(ratio, [ALPHA / 2, 1 - ALPHA / 2], method="nearest")
    if not np.isfinite([low, high]).all():  # ties among the differences: too many resamples without spread
        return None, None
    return float(mean - high * error), float(mean - low * error)


@cache
def _draws(n: int) -> np.ndarray:
    """Resamples of n seeds as indices, (resamples, n)."""
    if n <= EXACT:
        return np.array(list(itertools.product(range(n), repeat=n)))
    return np.random.default_rng(0).integers(n, size=(RESAMPLES, n))


def detectable(sd: float, seeds: int, alpha: float = ALPHA, power: float = 0.8) -> float:
    """The smallest true difference that a two-sided paired t test at ``alpha`` finds with this power.

    By the noncentral t distribution, with ``sd`` taken for the true standard deviation of the differences.
    """
    return _shown_by(float(stats.t.ppf(1 - alpha / 2, seeds - 1)), seeds - 1, power) * sd / math.sqrt(seeds)


def seeds_needed(
    noise: float, difference: float, networks: int, pairs: Sequence[tuple[int, int]], *, alpha: float = ALPHA
) -> int:
    """Seeds that show a true ``difference`` of any one pair with a probability of 80 %; at most :data:`MOST_SEEDS`.

    Args:
        noise: Standard deviation of one training around its network's and its seed's mean, in points.
        difference: In points.
        networks: How many are trained on the same seeds.
        pairs: All that are compared, as :func:`compare_block` takes them; one family.
        alpha: Error of the family.
    """
    family = tuple(pairs)
    if not family:
        return 2

    def short(seeds: int) -> bool:
        freedom = _freedom(networks - 2, seeds)
        limit = _limit(_largest(family, networks, freedom), freedom, len(family), alpha)
        return _shown_by(limit, freedom, 0.8) * noise * math.sqrt(2 / seeds) > difference

    return bisect_left(range(MOST_SEEDS), True, lo=2, key=lambda seeds: not short(seeds))


@cache
def _shown_by(limit: float, freedom: float, power: float) -> float:
    """The noncentrality, in standard errors, at which a test with this limit has this power."""

    def lacking(noncentrality: float) -> float:
        return float(stats.nct.sf(limit, freedom, noncentrality)) - power

    return float(optimize.brentq(lacking, 0.0, 3 * limit + 10))
