"""Numbers with their noun, the first of many names, and one that occurs twice, for use in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def plural(number: int, noun: str) -> str:
    """``1 seed``, ``3 seeds``, ``1,200 images``, ``2 classes``, ``2 boxes``."""
    ending = "es" if noun.endswith(("s", "x", "rch", "tch")) else "s"
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def first_of(names: Sequence[object], most: int = 5, between: str = ", ") -> str:
    """``a, b, c``; only the first ``most`` of a longer list: ``a, b, c, d, e, ...``."""
    return between.join(map(str, names[:most])) + (", ..." if len(names) > most else "")


def repeated(names: Iterable[T]) -> T | None:
    """The first name that occurs again; ``None`` if all differ."""
    return next((name for name, count in Counter(names).items() if count > 1), None)
