"""Which networks are worth a look: all of a small space; of a huge one those to which draws of the model lead."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chattn_nas.results.pooled import Pooled
from chattn_nas.search.pooled.networks import Networks

#: Trained networks that stay candidates, draws that choose them, choices of a stage that are tried, draws that lead,
#: and moves at random.
BEST, FEW, TRIED, LEADS, MOVES = 100, 16, 40, 24, 60

Feasible = Callable[[np.ndarray], np.ndarray]


def led(
    model: Pooled, networks: Networks, trained: np.ndarray, feasible: Feasible, rng: np.random.Generator
) -> np.ndarray:
    """Networks of a space that cannot be listed, (candidates, stages), feasible ones only.

    Around a good network every change of one stage is drawn jointly; in each draw the best choice of every stage
    makes a new network, as it would be the best one if stages did not interact. From the best of those once more.

    Args:
        model: Of what was seen.
        networks: Of the space.
        trained: Networks that were trained and are feasible, (networks, stages); at least one.
        feasible: Which rows keep the constraints.
        rng: Of the trial.
    """
    drawn = model.draws([networks.choices(row) for row in trained], FEW, rng)
    found = [trained[np.argsort(-drawn.mean(0), kind="stable")[:BEST]]]
    start = trained[drawn[0].argmax()]
    for _ in range(2):
        star = _star(networks, start, rng)
        draws = model.draws([networks.choices(row) for row in star], LEADS, rng)
        best = np.tile(start, (LEADS, 1))
        for stage in range(star.shape[1]):
            there = np.flatnonzero((star[:, stage] != start[stage]) | (np.arange(len(star)) == 0))
            best[:, stage] = star[there[draws[:, there].argmax(1)], stage]
        best = _repaired(best, start, feasible, rng)
        found += [star, best]
        start = _leader(model, networks, best, rng)
    moved = np.concatenate(found[-1:])[rng.integers(0, LEADS, MOVES)]
    changed = rng.integers(0, moved.shape[1], MOVES)
    moved[np.arange(MOVES), changed] = rng.integers(0, networks.sizes[changed])
    rows = np.unique(np.concatenate([*found, moved]), axis=0)
    return np.asarray(rows[feasible(rows)])


def _leader(model: Pooled, networks: Networks, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The best of one draw."""
    return np.asarray(rows[model.draws([networks.choices(row) for row in rows], 1, rng)[0].argmax()])


def _star(networks: Networks, center: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The network itself, then every change of one stage; of a stage with very many choices some."""
    rows = [center]
    for stage, size in enumerate(networks.sizes.tolist()):
        for choice in rng.permutation(size)[:TRIED].tolist():
            if choice != center[stage]:
                row = center.copy()
                row[stage] = choice
                rows.append(row)
    return np.array(rows)


def _repaired(rows: np.ndarray, safe: np.ndarray, feasible: Feasible, rng: np.random.Generator) -> np.ndarray:
    """Rows that break a bound go back to a feasible network, stage by stage in random order, until they keep it."""
    rows = rows.copy()
    order = rng.permuted(np.tile(np.arange(rows.shape[1]), (len(rows), 1)), axis=1)
    for step in range(rows.shape[1]):
        broken = np.flatnonzero(~feasible(rows))
        if not len(broken):
            break
        rows[broken, order[broken, step]] = safe[order[broken, step]]
    return rows
