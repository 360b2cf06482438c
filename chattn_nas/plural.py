"""Numbers with their noun, and the first of many names, for use in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def plural(number: int, noun: str) -> str:
    """``1 seed``, ``3 seeds``, ``1,200 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def first_of(names: Sequence[object], most: int = 5, between: str = ", ") -> str:
    """``a, b, c``; only the first ``most`` of a longer list: ``a, b, c, d, e, ...``."""
    return between.join(map(str, names[:most])) + (", ..." if len(names) > most else "")
