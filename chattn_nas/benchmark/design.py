"""Chooses the networks of a space to train, if all of them cost too much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from scipy.optimize import linear_sum_assignment

Level = TypeVar("Level")


def orthogonal_triples(levels: Sequence[Level], *, seed: int = 0) -> list[tuple[Level, Level, Level]]:
    """An orthogonal array of strength 2 for three stages: every pair of levels once in every pair of stages.

    It is an idempotent Latin square, read as (row, column, entry), so every uniform network is part of it. The square
    is built row by row as a perfect matching of columns and entries that are still free.

    Args:
        levels: At least three, all different.
        seed: Seed of the square.

    Returns:
        ``len(levels) ** 2`` triples, row by row.

    Raises:
        ValueError: Fewer than three levels: no idempotent square of order 2 exists.
    """
    order = len(levels)
    if order < 3 or len(set(levels)) != order:
        raise ValueError(f"an orthogonal array needs at least three different levels, not {list(levels)}")
    rng = np.random.default_rng(seed)
    while True:  # a partial square may have no completion; a few starts find one
        square = _square(order, rng)
        if square is not None:
            return [
                (levels[row], levels[column], levels[int(square[row, column])])
                for row, column in np.ndindex(order, order)
            ]


def orthogonal_array(levels: Sequence[Level], stages: int) -> list[tuple[Level, ...]]:
    """An orthogonal array of strength 2 for several stages: every pair of levels once in every pair of stages.

    Row (first, step) has level ``first + stage * step`` modulo the number of levels (Bose, 1938), so every uniform
    network is part of it, the first of each run of ``len(levels)`` rows.

    Args:
        levels: A prime number of them, at least as many as stages, all different.
        stages: Number of stages.

    Returns:
        ``len(levels) ** 2`` rows.

    Raises:
        ValueError: The number of levels is not prime, or smaller than that of stages.
    """
    order = len(levels)
    if order < 2 or any(order % factor == 0 for factor in range(2, order)) or len(set(levels)) != order:
        raise ValueError(f"an orthogonal array needs a prime number of different levels, not {list(levels)}")
    if order < stages:
        raise ValueError(f"{order} levels make an orthogonal array of at most {order} stages, not {stages}")
    return [
        tuple(levels[(first + stage * step) % order] for stage in range(stages))
        for first, step in np.ndindex(order, order)
    ]


def _square(order: int, rng: np.random.Generator) -> np.ndarray | None:
    """A random Latin square with entry i at (i, i), or ``None`` where this start leads nowhere."""
    square = np.full((order, order), -1)
    for row in range(order):
        cost = rng.random((order, order))
        for column in range(order):
            cost[column, square[:row, column]] = order**2  # taken in this column
        for column in range(row + 1, order):
            cost[column, column] = order**2  # the diagonal of a later row keeps its entry
        cost[row] = order**2
        cost[row, row] = 0
        columns, entries = linear_sum_assignment(cost)
        if cost[columns, entries].sum() >= order**2:
            return None
        square[row, columns] = entries
    return square
