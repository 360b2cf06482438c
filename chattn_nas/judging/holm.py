"""p-values of a family, corrected for how many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p-values by Holm's step-down method (1979).

    Those below 0.05 are, all together, wrong with a probability of at most 5 %.

    Args:
        ps: In any order.

    Returns:
        The corrected ones in the same order, at most 1.
    """
    corrected, largest = [1.0] * len(ps), 0.0
    for rank, place in enumerate(np.argsort(ps)):
        largest = max(largest, min(1.0, ps[place] * (len(ps) - rank)))
        corrected[place] = largest
    return corrected
