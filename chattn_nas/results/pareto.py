"""Pareto front and hypervolume among feasible architectures."""

from __future__ import annotations

import numpy as np
import optuna
import pandas as pd

from chattn_nas.arguments import checked
from chattn_nas.study.record import CONTROLS, records


@checked
def front(table: pd.DataFrame, cost: str = "parameters", accuracy: str = "pooled") -> pd.DataFrame:
    """The rows of a leaderboard that no other row beats in both: higher ``accuracy`` and lower ``cost``.

    A leaderboard holds only architectures that were trained, and infeasible ones never are, so the front is that of
    the constrained problem. The controls are no candidates. Sorted by cost.
    """
    candidates = table[~table["label"].isin(CONTROLS)].dropna(subset=[cost, accuracy])
    rising = candidates.sort_values([cost, accuracy], ascending=[True, False])
    before = rising[accuracy].cummax().shift(fill_value=-np.inf)
    return rising[rising[accuracy] > before]


def hypervolume(points: np.ndarray, reference: tuple[float, float]) -> float:
    """The area below ``reference`` that ``points`` (n, 2) dominate, both coordinates minimised."""
    area, lowest = 0.0, reference[1]
    for x, y in sorted(map(tuple, points)):
        if x < reference[0] and y < lowest:
            area += (reference[0] - x) * (lowest - y)
            lowest = y
    return float(area)


@checked
def hypervolume_over_time(study: optuna.Study, cost: str = "parameters") -> pd.DataFrame:
    """After each complete training: the best accuracy so far and the hypervolume of (accuracy, cost).

    Columns: ``number, score``, ``best`` (so far), ``hypervolume`` (share of the box between the worst and
    the best value of each objective over the whole study, 0 to 1).
    """
    done = [
        record
        for record in records(study)
        if record.score is not None and record.measurement and getattr(record.measurement, cost) is not None
    ]
    columns = ["number", "score", "best", "hypervolume"]
    if not done:
        return pd.DataFrame(columns=columns)
    points = np.array([(-r.shown, float(getattr(r.measurement, cost))) for r in done])
    low, high = points.min(axis=0), points.max(axis=0)
    unit = (points - low) / np.where(high > low, high - low, 1.0)
    front: list[tuple[float, float]] = []
    best, area, rows = np.inf, 0.0, []
    for record, point, place in zip(done, points, map(tuple, unit), strict=True):
        if not record.control:
            best = min(best, point[0])
            if not any(x <= place[0] and y <= place[1] for x, y in front):
                front = [(x, y) for x, y in front if x < place[0] or y < place[1]] + [place]
                # The reference point lies one percent outside the box, so that its corners count.
                area = hypervolume(np.array(front), (1.01, 1.01)) / 1.01**2
        rows.append(
            {
                "number": record.number,
                "score": -point[0],
                "best": -best if np.isfinite(best) else float("nan"),
                "hypervolume": area,
            }
        )
    return pd.DataFrame(rows, columns=columns)
