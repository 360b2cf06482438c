"""How far two rankings of the same architectures agree, with what so few architectures leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 2000
#: Fewer architectures show no excess: where two rankings happen to agree wholly, resamples do not scatter, and a proxy
#: would be "shown" to be better than it is.
LEAST_SHOWN = 10
#: Ends of a 95 % interval.
ENDS = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Rank correlations with 95 % intervals by the percentile bootstrap over architectures (Efron 1979).

    Attributes:
        architectures: How many were ranked.
        tau, tau_low, tau_high: Kendall's tau-b (1945).
        rho, rho_low, rho_high: Spearman's rho (1904).
    """

    architectures: int
    tau: float
    tau_low: float
    tau_high: float
    rho: float
    rho_low: float
    rho_high: float


def agreement(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Agreement:
    """Mean agreement over several pairs of rankings of the same architectures.

    Args:
        pairs: Scores of the same three or more architectures in the same order, by two trainings each.
    """
    arrays = [(np.asarray(first, float), np.asarray(second, float)) for first, second in pairs]
    count = len(arrays[0][0])
    whole = np.arange(count)[None]
    drawn = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    estimates = []
    for correlation in (kendall, spearman):
        values = np.mean([correlation(*pair, drawn) for pair in arrays], axis=0)
        low, high = np.nanquantile(values, ENDS) if np.isfinite(values).any() else (np.nan, np.nan)
        estimates.append((np.mean([correlation(*pair, whole) for pair in arrays]), low, high))
    (tau, tau_low, tau_high), (rho, rho_low, rho_high) = estimates
    return Agreement(
        architectures=count, tau=float(tau), tau_low=float(tau_low), tau_high=float(tau_high), rho=float(rho),
        rho_low=float(rho_low), rho_high=float(rho_high),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Excess:
    """How far one agreement is above a fraction of another, with the uncertainty of so few architectures.

    Attributes:
        mean: tau of the one less ``part`` times tau of the other.
        p: Probability of so much where there is nothing above (one-sided).
        sd: Standard deviation over resamples of the architectures.
    """

    mean: float
    p: float
    sd: float


def excess(
    pairs: Sequence[tuple[Sequence[float], Sequence[float]]],
    ceiling: Sequence[tuple[Sequence[float], Sequence[float]]],
    part: float,
) -> Excess:
    """Kendall's tau of ``pairs`` less ``part`` of that of ``ceiling``, resampled over the architectures of both.

    Paired, since both hang on how far the same architectures lie apart. The probability is the larger one by
    Student's t and by the percentile bootstrap: with a dozen architectures the percentile alone claims too much.

    Args:
        pairs, ceiling: As for :func:`agreement`, of the same architectures in the same order.
        part: 0 to 1.
    """
    arrays = [[(np.asarray(a, float), np.asarray(b, float)) for a, b in one] for one in (pairs, ceiling)]
    count = len(arrays[0][0][0])
    drawn = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))

    def differ(places: np.ndarray) -> np.ndarray:
        own, best = (np.mean([kendall(*pair, places) for pair in one], axis=0) for one in arrays)
        return np.asarray(own - part * best)

    mean, values = float(differ(np.arange(count)[None])[0]), differ(drawn)
    values = values[np.isfinite(values)]
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    if count < LEAST_SHOWN or mean != mean or sd != sd:
        return Excess(mean=mean, p=1.0, sd=sd)
    student = float(stats.t.sf(mean / sd, count - 1)) if sd else float(mean <= 0)
    return Excess(mean=mean, p=max(float((values <= 0).mean()), student), sd=sd)


def kendall(first: np.ndarray, second: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Tau-b of every resample; ``drawn`` (resamples, n) are indices. NaN where all scores of a resample are equal."""
    x, y = (np.sign(values[:, None] - values[None, :]) for values in (first, second))
    times = (drawn[:, :, None] == np.arange(len(first))).sum(1).astype(float)  # that a resample holds each

    def over_pairs(values: np.ndarray) -> np.ndarray:
        return np.asarray(((times @ values) * times).sum(1))

    spread = np.sqrt(over_pairs(x**2) * over_pairs(y**2))
    return np.divide(over_pairs(x * y), spread, out=np.full(len(drawn), np.nan), where=spread > 0)


def spearman(first: np.ndarray, second: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Rho of every resample, as :func:`kendall`."""
    x, y = (stats.rankdata(values[drawn], axis=1) for values in (first, second))
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    spread = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return np.divide((x * y).sum(1), spread, out=np.full(len(drawn), np.nan), where=spread > 0)
