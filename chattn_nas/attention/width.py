"""The hidden width of a squeeze: the one rule of all types that have a ``reduction``."""

from __future__ import annotations


def hidden_width(channels: int, reduction: int, minimum: int = 1) -> int:
    """``channels // reduction``, but never below ``minimum``: a hidden layer of no units would say nothing for ever."""
    return max(minimum, channels // reduction)
