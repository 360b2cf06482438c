"""Numbers with a noun, as sentences have them."""

from __future__ import annotations


def plural(number: int, noun: str) -> str:
    """``1 seed``, ``3 seeds``, ``1,200 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
