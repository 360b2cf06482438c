"""Compares the best network so far, over a search, with the same networks in random order."""

from __future__ import annotations

import numpy as np
import optuna
import pandas as pd

from chattn_nas.arguments import checked
from chattn_nas.results._best import Standing
from chattn_nas.study.record import records

COLUMNS = ("networks", "trial", "best", "random")


@checked
def efficiency(study: optuna.Study, standing: Standing | None = None) -> pd.DataFrame:
    """The best network so far after each newly trained one, and the expected best in random order.

    Columns: ``networks`` (trained so far), ``trial`` (that trained the last), ``best`` (pooled mean of the best, in
    percent) and ``random``: the exact expected best of as many of the same networks, drawn without replacement. A real
    random search would do worse, since it draws from the whole space with its worse networks. Values are pooled means,
    since single trainings would reward luck. The control is left out.

    Args:
        study: The study.
        standing: Its standing, where that is known already.
    """
    standing = standing or Standing(study)
    values = {pick.hash: pick.value("pooled") for pick in standing.picks if not pick.control}
    order: dict[str, int] = {}
    for record in records(study):
        if record.score is not None and record.hash in values:
            order.setdefault(record.hash, record.number)
    reached = np.array([values[key] for key in order])
    best = np.maximum.accumulate(reached) if len(reached) else reached
    return pd.DataFrame(
        {
            "networks": np.arange(1, len(order) + 1),
            "trial": list(order.values()),
            "best": best,
            "random": expected_best(reached),
        },
        columns=list(COLUMNS),
    )


def expected_best(values: np.ndarray) -> np.ndarray:
    """Expected maximum of the first 1, 2, ... n of ``values`` (n,) in random order.

    The i-th smallest is the maximum of k with probability C(i-1, k-1) / C(n, k).
    """
    n = len(values)
    rising = np.sort(values)
    index = np.arange(n)
    expected = np.empty(n)
    share = np.full(n, 1.0 / n) if n else expected  # of each order statistic to be the maximum of k, for k = 1
    for k in range(1, n + 1):
        expected[k - 1] = share @ rising
        # C(i, k) / C(i, k-1) = (i - k + 1) / k and C(n, k) / C(n, k+1) = (k + 1) / (n - k), i from 0
        share = share * np.maximum(index - k + 1, 0) / k * (k + 1) / max(n - k, 1)
    return expected
