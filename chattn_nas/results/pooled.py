"""Evidence pooled: one model over all trials of a study.

One training run's noise is larger than most differences between architectures, so the best single trial is mostly the
luckiest. Here every trial informs every architecture that shares a choice with it. A run of architecture *a* on seed
*s* is taken as::

    accuracy = mean + sum over stages of (effect of type + effect of setting) + deviation of a + block of s + noise

with every term but the mean Gaussian, its standard deviation learned from the study (a Gaussian process whose kernel is
the sum of the terms; random effects, Henderson 1975; seeds as blocks, Fisher 1935). Architectures that were never
trained get an answer too. Trials that were stopped early enter with the noise of their rung (:mod:`.early_rungs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize
from threadpoolctl import threadpool_limits

from chattn_nas.results.early_rungs import early_rungs
from chattn_nas.study.record import Record, key_of, once_per_seed

#: The terms whose standard deviations are learned.
TERMS = ("type", "setting", "architecture", "seed", "noise")
#: Prior guess for each standard deviation, as a share of the accuracies' own; log-normal with the spread below, wide
#: enough that a factor of 7 costs no more than two log units. It decides only what a study cannot say itself: above all
#: how far seeds differ, of which there are few. tests/results/test_pooled_elsewhere.py prints how often intervals cover
#: in worlds that it was not tuned on: 92 to 97 %.
PRIOR_SHARE = np.array([0.3, 0.1, 0.16, 0.2, 0.8])
PRIOR_SPREAD = 1.0
#: The mode is looked for within so many log units of the guess: beyond, the covariance is singular in double precision.
PRIOR_REACH = 5.0
#: Matrices are small: with two threads on two busy cores a fit took 15 times as long as with one.
_one_thread = threadpool_limits.wrap(1, user_api="blas")
#: Beyond this many observations a fit takes minutes: the oldest are left out.
LIMIT = 1500


@dataclass(frozen=True)
class Estimate:
    """Posterior of a set of architectures; in points (percent).

    Attributes:
        mean: (n,)
        covariance: (n, n)
    """

    mean: np.ndarray
    covariance: np.ndarray

    @property
    def sd(self) -> np.ndarray:
        """Posterior standard deviations, (n,)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def difference(self, first: int, second: int) -> tuple[float, float]:
        """Mean and standard deviation of ``first - second``."""
        c = self.covariance
        variance = c[first, first] + c[second, second] - 2 * c[first, second]
        return float(self.mean[first] - self.mean[second]), float(np.sqrt(max(variance, 0.0)))


@dataclass(frozen=True)
class Observation:
    """One trained network: its stages' choices, its seed, its accuracy in points, and noise of its own."""

    choices: tuple[tuple[str, str], ...]  # per stage: type, full choice
    seed: int | None
    accuracy: float
    variance: float = 0.0


def observations(found: Sequence[Record]) -> list[Observation]:
    """What a study saw: complete trials as they are, early-stopped ones read through their last rung."""
    trained = once_per_seed(found)
    complete = [len(record.rungs) for record in trained if record.outcome == "complete"]
    length = max(complete, default=0)
    curves = [[100 * rung.accuracy for rung in record.rungs] for record in trained]
    readings = early_rungs(curves, length)
    seen = []
    for record, curve in zip(trained, curves, strict=True):
        choices = choices_of(record)
        if record.outcome == "complete" and len(curve) == length:
            seen.append(Observation(choices, record.seed, curve[-1]))
        elif len(curve) < length and (reading := readings[len(curve) - 1]) is not None:
            seen.append(Observation(choices, record.seed, reading.offset + reading.scale * curve[-1], reading.variance))
    return seen


def choices_of(record: Record) -> tuple[tuple[str, str], ...]:
    """Per stage the type and the full choice, as the kernel compares them."""
    return tuple((str(stage["type"]), key_of(stage)) for stage in record.stages)


class Pooled:
    """The model, fitted.

    Args:
        seen: At least two observations.

    Attributes:
        deviations: Learned standard deviation of every term, in points.
    """

    def __init__(self, seen: Sequence[Observation]) -> None:
        self.seen = list(seen)[-LIMIT:]
        self._y = np.array([one.accuracy for one in self.seen])
        self._own = np.array([one.variance for one in self.seen])
        self._center = float(self._y.mean())
        self._scale = max(float(self._y.std()), 1e-3)
        choices = [one.choices for one in self.seen]
        seeds = np.array([-1 if one.seed is None else one.seed for one in self.seen])
        self._kernels = [*_kernels(choices, choices), (seeds[:, None] == seeds[None, :]).astype(float)]
        self._points = self._integrate()
        weights = np.array([weight for weight, _, _, _ in self._points])
        squares = np.array([np.exp(2 * theta) for _, theta, _, _ in self._points])
        self.deviations = dict(zip(TERMS, np.sqrt(weights @ squares).tolist(), strict=True))

    def _covariance(self, theta: np.ndarray) -> np.ndarray:
        """Covariance of the observations; the flat mean is a constant of 30 standard deviations."""
        variances = np.exp(2 * theta)
        total = np.full((len(self._y),) * 2, (30 * self._scale) ** 2)
        for variance, kernel in zip(variances, self._kernels):
            total = total + variance * kernel
        total[np.diag_indices_from(total)] += variances[-1] + self._own
        return total

    def _loss(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Negative log posterior of the log standard deviations, with its gradient."""
        factor = linalg.cho_factor(self._covariance(theta), lower=True)
        inverse = linalg.cho_solve(factor, np.eye(len(self._y)))
        alpha = inverse @ (self._y - self._center)
        away = (theta - np.log(PRIOR_SHARE * self._scale)) / PRIOR_SPREAD
        loss = 0.5 * (self._y - self._center) @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * away @ away
        inside = np.outer(alpha, alpha) - inverse
        pulls = [float((inside * kernel).sum()) for kernel in self._kernels] + [float(np.trace(inside))]
        gradient = -np.exp(2 * theta) * np.array(pulls) + away / PRIOR_SPREAD
        return float(loss), gradient

    @_one_thread
    def _integrate(self) -> list[tuple[float, np.ndarray, np.ndarray, np.ndarray]]:
        """Weighted settings of the standard deviations around the mode: (weight, theta, alpha, inverse).

        A central composite design along the axes of the Hessian, each point weighted by its posterior density (Rue,
        Martino, Chopin 2009): plugging in the mode alone makes intervals too short.
        """
        start = np.log(PRIOR_SHARE * self._scale)
        bounds = [(guess - PRIOR_REACH, guess + PRIOR_REACH) for guess in start]
        mode = optimize.minimize(self._loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        step = 1e-3
        hessian = np.array(
            [(self._loss(mode + step * e)[1] - self._loss(mode - step * e)[1]) / (2 * step) for e in np.eye(len(mode))]
        )
        values, axes = np.linalg.eigh((hessian + hessian.T) / 2)
        reach = np.sqrt(len(mode)) / np.sqrt(np.maximum(values, 0.25 / PRIOR_SPREAD**2))
        points = [mode, *(mode + sign * reach[k] * axes[:, k] for k in range(len(mode)) for sign in (-1, 1))]
        losses = np.array([self._loss(point)[0] for point in points])
        weights = np.exp(losses.min() - losses)
        found = []
        for weight, point in zip(weights / weights.sum(), points, strict=True):
            factor = linalg.cho_factor(self._covariance(point), lower=True)
            inverse = linalg.cho_solve(factor, np.eye(len(self._y)))
            found.append((float(weight), point, inverse @ (self._y - self._center), inverse))
        return found

    def predict(self, choices: Sequence[tuple[tuple[str, str], ...]]) -> Estimate:
        """Expected accuracy over seeds of each architecture, trained or not, in points."""
        across = _kernels(choices, [one.choices for one in self.seen])
        among = _kernels(choices, choices)
        return self._posterior(across, among, constant=1.0, center=self._center)

    def effects(self, stage: int, wanted: Sequence[str]) -> Estimate:
        """What each type in ``wanted`` adds in ``stage`` (from 0), against ``none`` there or the mean of the types.

        Uses the additive part alone: type plus the mean of that type's settings seen there.
        """
        settings: dict[str, list[str]] = {name: [] for name in wanted}
        for one in self.seen:
            name, setting = one.choices[stage]
            if name in settings and setting not in settings[name]:
                settings[name].append(setting)
        rows = [(name, setting) for name in wanted for setting in settings[name]]
        pick = np.array([[row[0] == name for row in rows] for name in wanted], dtype=float)
        pick /= pick.sum(axis=1, keepdims=True)
        reference = np.tile(np.eye(len(wanted))[list(wanted).index("none")], (len(wanted), 1)) if "none" in wanted \
            else np.full((len(wanted),) * 2, 1 / len(wanted))  # fmt: skip
        pick = (np.eye(len(wanted)) - reference) @ pick
        seen = [one.choices[stage] for one in self.seen]
        across = [_same(rows, seen, 0), _same(rows, seen, 1)]
        among = [_same(rows, rows, 0), _same(rows, rows, 1)]
        return self._posterior(
            [pick @ kernel for kernel in across], [pick @ kernel @ pick.T for kernel in among], constant=0.0, center=0.0
        )

    @_one_thread
    def _posterior(
        self, across: Sequence[np.ndarray], among: Sequence[np.ndarray], *, constant: float, center: float
    ) -> Estimate:
        means, covariances, weights = [], [], []
        for weight, theta, alpha, inverse in self._points:
            variances = np.exp(2 * theta)
            flat = constant * (30 * self._scale) ** 2
            k = flat + np.tensordot(variances[: len(across)], np.array(across), 1)
            kk = flat + np.tensordot(variances[: len(among)], np.array(among), 1)
            means.append(k @ alpha)
            covariances.append(kk - k @ inverse @ k.T)
            weights.append(weight)
        mean = np.tensordot(weights, means, 1)
        apart = np.array(means) - mean
        covariance = np.tensordot(weights, covariances, 1) + (apart.T * weights) @ apart
        return Estimate(mean + center, covariance)


def _same(first: Sequence[tuple[str, str]], second: Sequence[tuple[str, str]], part: int) -> np.ndarray:
    """1 where one stage's choices agree in ``part`` (0: type, 1: full choice)."""
    codes = {value: code for code, value in enumerate(dict.fromkeys(c[part] for c in (*first, *second)))}
    a, b = (np.array([codes[choice[part]] for choice in one], dtype=int) for one in (first, second))
    return (a[:, None] == b[None, :]).astype(float)


def _kernels(first: Sequence[tuple], second: Sequence[tuple]) -> list[np.ndarray]:
    """Agreement of architectures: types summed over stages, settings summed over stages, the same architecture."""
    stages = len(second[0])
    per = [
        [_same([one[stage] for one in first], [one[stage] for one in second], part) for stage in range(stages)]
        for part in (0, 1)
    ]
    equal = np.all(per[1], axis=0).astype(float)
    return [np.sum(per[0], axis=0), np.sum(per[1], axis=0), equal]


def fit(found: Sequence[Record]) -> Pooled | None:
    """The pooled model of a study; ``None`` with fewer than four observations, or where nothing differs."""
    seen = observations(found)
    if len(seen) < 4 or np.ptp([one.accuracy for one in seen]) == 0:
        return None
    return Pooled(seen)
