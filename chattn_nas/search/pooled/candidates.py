"""Candidates to train: all networks of a small space; in a huge one, those that draws of the model lead to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chattn_nas.results.pooled import Pooled
from chattn_nas.search.pooled.networks import Networks

#: Trained networks that stay candidates, draws that choose them, choices of a stage that are tried, draws that lead,
#: and moves at random.
BEST, FEW, TRIED, LEADS, MOVES = 100, 16, 40, 24, 60

Feasible = Callable[[np.ndarray], np.ndarray]


def drawn_candidates(
    model: Pooled, networks: Networks, trained: np.ndarray, feasible: Feasible, rng: np.random.Generator
) -> np.ndarray:
    """Return feasible candidates from a space that cannot be listed, (candidates, stages).

    All changes of a good network in one stage are drawn jointly. In each draw, the best choices of all stages make a
    new network, which would be the best one if stages did not interact. The best of those is changed in the same way.

    Args:
        model: The pooled model.
        networks: The networks of the space.
        trained: Feasible networks that were trained, (networks, stages); at least one.
        feasible: Tells which rows satisfy the constraints.
        rng: Random numbers of the trial.
    """
    drawn = model.draws([networks.choices(row) for row in trained], FEW, rng)
    candidates = [trained[np.argsort(-drawn.mean(0), kind="stable")[:BEST]]]
    start = trained[drawn[0].argmax()]
    for _ in range(2):
        star = _star(networks, start, rng)
        draws = model.draws([networks.choices(row) for row in star], LEADS, rng)
        best = np.tile(start, (LEADS, 1))
        for stage in range(star.shape[1]):
            there = np.flatnonzero((star[:, stage] != start[stage]) | (np.arange(len(star)) == 0))
            best[:, stage] = star[there[draws[:, there].argmax(1)], stage]
        best = _repaired(best, start, feasible, rng)
        candidates += [star, best]
        start = _leader(model, networks, best, rng)
    moved = candidates[-1][rng.integers(0, LEADS, MOVES)]
    changed = rng.integers(0, moved.shape[1], MOVES)
    moved[np.arange(MOVES), changed] = rng.integers(0, networks.sizes[changed])
    rows = np.unique(np.concatenate([*candidates, moved]), axis=0)
    return np.asarray(rows[feasible(rows)])


def _leader(model: Pooled, networks: Networks, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The best of one draw."""
    return np.asarray(rows[model.draws([networks.choices(row) for row in rows], 1, rng)[0].argmax()])


def _star(networks: Networks, center: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The network itself, then every change in one stage; only some for a stage with very many choices."""
    rows = [center]
    for stage, size in enumerate(networks.sizes.tolist()):
        for choice in rng.permutation(size)[:TRIED].tolist():
            if choice != center[stage]:
                row = center.copy()
                row[stage] = choice
                rows.append(row)
    return np.array(rows)


def _repaired(rows: np.ndarray, safe: np.ndarray, feasible: Feasible, rng: np.random.Generator) -> np.ndarray:
    """Bring rows that break a bound back to a feasible network, stage by stage in random order, until they keep it."""
    rows = rows.copy()
    order = rng.permuted(np.tile(np.arange(rows.shape[1]), (len(rows), 1)), axis=1)
    for step in range(rows.shape[1]):
        broken = np.flatnonzero(~feasible(rows))
        if not len(broken):
            break
        rows[broken, order[broken, step]] = safe[order[broken, step]]
    return rows
