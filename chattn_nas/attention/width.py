"""The hidden width of a squeeze, by one rule for all types with a ``reduction``."""

from __future__ import annotations


def hidden_width(channels: int, reduction: int, minimum: int = 1) -> int:
    """``channels // reduction``, but at least ``minimum``: a hidden layer without units would learn nothing."""
    return max(minimum, channels // reduction)
