"""Silences loggers of other libraries for a while."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(*names: str, below: int = logging.ERROR) -> Iterator[None]:
    """Raise the level of these loggers inside the context; restore the user's level afterwards."""
    loud = [logging.getLogger(name) for name in names]
    before = [one.level for one in loud]
    for one in loud:
        one.setLevel(below)
    try:
        yield
    finally:
        for one, level in zip(loud, before, strict=True):
            one.setLevel(level)
