"""Whether a network has learnt anything."""

from __future__ import annotations

from torch import Tensor


def at_chance(accuracy: float, labels: Tensor) -> bool:
    """Whether an accuracy (0 to 1) is no better than naming the commonest of ``labels`` (N,) every time."""
    return accuracy <= int(labels.bincount().max()) / len(labels)
