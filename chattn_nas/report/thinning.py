"""Chooses the trials to show: all of a small study; of a large one the best and an even spread of the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

#: Points of one kind in a figure, and rows of a table that grows with the study.
POINTS, ROWS = 150, 30


def spread(table: pd.DataFrame, most: int, keep: Any = None) -> pd.DataFrame:
    """At most ``most`` rows in their order: the first and the last, those to ``keep``, and an even spread of the rest.

    Args:
        table: Any table.
        most: Maximal number of rows; of more rows to keep, an even spread remains.
        keep: Booleans, one per row.
    """
    if len(table) <= most:
        return table
    wanted = np.zeros(len(table), dtype=bool) if keep is None else np.asarray(keep, dtype=bool).copy()
    wanted[[0, -1]] = True
    kept, rest = np.flatnonzero(wanted), np.flatnonzero(~wanted)
    kept = kept[_evenly(len(kept), most)]
    rest = rest[_evenly(len(rest), most - len(kept))]
    return table.iloc[np.sort(np.concatenate([kept, rest]))]


def _evenly(length: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, length - 1, min(length, max(most, 0))).round().astype(int))


def changes(column: pd.Series) -> pd.Series:
    """Whether a value differs from the one before it."""
    return column.ne(column.shift())
