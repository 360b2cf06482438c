"""What an early rung says of the end: the joint distribution of a trial's rungs, early-stopped trials included.

Accuracies at rungs are taken as a Gaussian chain: each rung is a line in the one before it plus noise. Trials are
stopped for what their rungs showed, so which rungs are missing depends only on rungs that are there, and the factored
likelihood of Anderson (1957, "Maximum likelihood estimates for a multivariate normal distribution when some
observations are missing") stays unbiased: each rung is regressed on its predecessor over all trials that reached both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Fewer trials that reached both ends of a step say too little about its slope and noise.
MINIMAL_PAIRS = 5


@dataclass(frozen=True)
class EarlyRung:
    """How to read a trial that stopped at one rung.

    Attributes:
        correlation: With the accuracy at the end, over all trials.
        scale, offset: ``offset + scale * accuracy`` is an unbiased observation of the accuracy at the end.
        variance: Variance of that observation's own noise, besides the noise of the end; in squared points.
    """

    correlation: float
    scale: float
    offset: float
    variance: float


def early_rungs(curves: Sequence[Sequence[float]], length: int) -> list[EarlyRung | None]:
    """For each of the ``length`` rungs, how it observes the last; ``None`` where too little is known.

    Args:
        curves: Accuracy per rung reached, one sequence per trial, in points.
        length: Number of rungs of a complete trial.
    """
    first = np.array([curve[0] for curve in curves if len(curve)])
    if length < 2 or len(first) < MINIMAL_PAIRS:
        return [None] * length
    means, variances, slopes = [float(first.mean())], [float(first.var(ddof=1))], []
    for step in range(length - 1):
        pairs = np.array([(curve[step], curve[step + 1]) for curve in curves if len(curve) > step + 1])
        if len(pairs) < MINIMAL_PAIRS or np.ptp(pairs[:, 0]) == 0:
            return [None] * length
        x, y = pairs[:, 0] - pairs[:, 0].mean(), pairs[:, 1] - pairs[:, 1].mean()
        slope = float(x @ y / (x @ x))
        rest = float(((y - slope * x) ** 2).sum() / (len(pairs) - 2))
        means.append(float(pairs[:, 1].mean() + slope * (means[-1] - pairs[:, 0].mean())))
        variances.append(slope**2 * variances[-1] + rest)
        slopes.append(slope)
    found: list[EarlyRung | None] = []
    for rung in range(length - 1):
        covariance = variances[rung] * float(np.prod(slopes[rung:]))
        if covariance <= 0 or variances[-1] == 0:
            found.append(None)
            continue
        loading = covariance / variances[-1]  # of this rung on the end
        noise = max(variances[rung] - loading**2 * variances[-1], 0.0)
        found.append(
            EarlyRung(
                correlation=covariance / float(np.sqrt(variances[rung] * variances[-1])),
                scale=1 / loading,
                offset=means[-1] - means[rung] / loading,
                variance=noise / loading**2,
            )
        )
    return [*found, None]
