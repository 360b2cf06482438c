"""The first trials of a search: networks that together show every choice of every stage equally often."""

from __future__ import annotations

from itertools import combinations

import numpy as np


def most_balanced(
    rows: np.ndarray, taken: np.ndarray, types: list[np.ndarray], rng: np.random.Generator,
    liked: np.ndarray | None = None,
) -> int:  # fmt: skip
    """Index of the row that best balances the trained networks: first types per stage, then their pairs, then settings.

    Args:
        rows: Candidates, (candidates, stages).
        taken: Networks that were trained or are under way, (networks, stages).
        types: The number of the type, per stage and choice.
        rng: Breaks ties.
        liked: Breaks ties before that, (candidates,): the highest wins.
    """
    if not len(taken):
        return int(rng.integers(len(rows)) if liked is None else np.argmax(liked))
    stages = range(rows.shape[1])
    kinds = np.stack([types[stage][rows[:, stage]] for stage in stages], 1)
    known = np.stack([types[stage][taken[:, stage]] for stage in stages], 1)
    alone = sum((_times(known[:, [s]], kinds[:, [s]]) ** 2 for s in stages), np.zeros(len(rows)))
    together = sum(
        (_times(known[:, list(pair)], kinds[:, list(pair)]) for pair in combinations(stages, 2)), np.zeros(len(rows))
    )
    settings = sum((_times(taken[:, [s]], rows[:, [s]]) for s in stages), np.zeros(len(rows)))
    ties = rng.random(len(rows)) if liked is None else -liked
    return int(np.lexsort((ties, settings, together, alone))[0])


def least_used(count: int, taken: np.ndarray, types: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Networks of the types that each stage has had least, (count, stages), for a space that is too large to list."""
    columns = []
    for stage, kinds in enumerate(types):
        used = (
            np.bincount(kinds[taken[:, stage]], minlength=kinds.max() + 1) if len(taken) else np.zeros(kinds.max() + 1)
        )
        rare = np.flatnonzero(used[kinds] == used[kinds].min())
        names = rng.choice(np.unique(kinds[rare]), count)
        columns.append(np.array([rng.choice(np.flatnonzero(kinds == name)) for name in names]))
    return np.stack(columns, 1)


def _times(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How often each of ``wanted`` occurs in ``known``."""
    return (known[None] == wanted[:, None]).all(2).sum(1)
