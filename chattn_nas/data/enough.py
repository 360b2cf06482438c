"""How many images and updates it takes to tell two networks apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chattn_nas.plural import plural

#: A network that is trained for fewer updates has hardly begun to learn.
LEAST_UPDATES = 250
#: With fewer validation images, chance hides the difference between two networks.
LEAST_VALIDATION = 500
#: Scores that average over the classes, so that a rare class counts as much as a common one.
OVER_CLASSES = ("balanced_accuracy", "macro_f1")


def as_many_as(labels: NDArray[np.integer], metric: str | None) -> float:
    """The number of images that would give an accuracy as certain as this score: fewer for a mean over the classes.

    Args:
        labels: Class of every image (N,).
        metric: Name of the score.
    """
    if metric not in OVER_CLASSES:
        return len(labels)
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    return float(len(counts) / np.mean(1 / counts))


def few_updates(updates: int, batch_size: int) -> str | None:
    """A warning if a trial makes too few updates to show much, else ``None``."""
    if updates >= LEAST_UPDATES:
        return None
    return (
        f"a full trial makes only {plural(updates, 'update')} of {batch_size} images: after so few, networks differ "
        "by how they start more than by what they can learn; more epochs (proxy.rungs) or a smaller batch before "
        "more trials"
    )
