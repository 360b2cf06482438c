"""Estimates of the pooled model: posterior mean, standard deviation, and 95 % interval.

The posterior is a mixture over settings of the standard deviations. Its own quantiles lie within a few per cent of 1.96
posterior standard deviations, but they are right only if the prior is: a study that says little about a variance leaves
it to the prior. So intervals use Student's quantile, with as many degrees of freedom as would leave the variance of the
quantity as uncertain as the study leaves it (the idea of Satterthwaite, 1946). It is 1.96 if the variances are well
known. docs/judging.md has the coverage of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Error of an interval.
ALPHA = 0.05


@dataclass(frozen=True)
class Estimate:
    """Posterior of several quantities, such as the accuracies of networks or their differences; in points.

    Attributes:
        mean, sd: Posterior means and standard deviations, (n,).
        freedom: Degrees of freedom of the intervals, (n,).
    """

    mean: np.ndarray
    sd: np.ndarray
    freedom: np.ndarray

    @property
    def half(self) -> np.ndarray:
        """Half-widths of the 95 % intervals, (n,)."""
        from scipy.stats import t  # a second of a worker's start, which asks for no interval

        return np.asarray(t.ppf(1 - ALPHA / 2, self.freedom) * self.sd)

    @property
    def low(self) -> np.ndarray:
        """Lower ends of the 95 % intervals, (n,)."""
        return np.asarray(self.mean - self.half)

    @property
    def high(self) -> np.ndarray:
        """Upper ends of the 95 % intervals, (n,)."""
        return np.asarray(self.mean + self.half)

    def wider(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Factors that turn normal draws around the means into Student's, with the median freedom; (draws,)."""
        freedom = float(np.median(self.freedom))
        return np.asarray(np.sqrt(freedom / rng.chisquare(freedom, draws)))


def mixed(means: np.ndarray, variances: np.ndarray, weights: np.ndarray) -> Estimate:
    """Mix estimates over several settings of the standard deviations.

    A variance whose inverse chi-squared posterior comes from f degrees of freedom has a relative variance of
    2 / (f - 4), which gives f.

    Args:
        means, variances: (settings, n) at each setting.
        weights: (settings,), which sum to 1.
    """
    mean = weights @ means
    each = variances + (means - mean) ** 2
    variance = weights @ each
    known = np.where(variance > 0, variance, 1.0)
    uncertain = weights @ (each / known - 1.0) ** 2
    return Estimate(mean, np.sqrt(variance), 4 + 2 / np.clip(uncertain, 1e-6, None))
