"""Chooses the networks that a supernet is trained and scored on, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def balanced(sizes: Sequence[int], count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw networks, (count, stages), from a bag per stage: each choice comes once before any comes again.

    Args:
        sizes: Number of choices of every stage.
        count: Number of networks.
        rng: Draws the order within every round.
    """
    columns = [np.concatenate([rng.permutation(size) for _ in range(-(-count // size))])[:count] for size in sizes]
    return np.stack(columns, 1)


def additive(rows: np.ndarray, scores: np.ndarray, sizes: Sequence[int]) -> tuple[float, list[np.ndarray], float]:
    """Fit scores by one effect per stage and choice, by least squares with minimal norm.

    Args:
        rows: Networks, (networks, stages).
        scores: (networks,)
        sizes: Number of choices of every stage.

    Returns:
        The mean, the effects per stage, and the share of the variance that they explain.
    """
    design = np.concatenate([np.eye(size)[rows[:, stage]] for stage, size in enumerate(sizes)], 1)
    away = scores - scores.mean()
    effects = np.linalg.lstsq(design, away, rcond=None)[0]
    left, total = away - design @ effects, float(away @ away)
    explained = 1 - float(left @ left) / total if total > 0 else 1.0
    return float(scores.mean()), np.split(effects, np.cumsum(sizes)[:-1]), explained
