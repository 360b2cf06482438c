"""Lock files for one process at a time, and text files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from chattn_nas.errors import RunError
from chattn_nas.files import lock_at, replacing

_locks: dict[Path, FileLock] = {}


@contextmanager
def hold(path: Path, busy: Callable[[], str]) -> Iterator[None]:
    """Hold a lock file; the same process may hold it several times, and its death releases it.

    Args:
        path: The file; created if needed, with its folder.
        busy: Gives the message if another process holds it.

    Raises:
        RunError: Another process holds it, or the file or its folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        key = path.resolve()
        if key not in _locks:
            _locks[key] = lock_at(path, timeout=0)
        lock = _locks[key]
        lock.acquire()
    except Timeout:
        raise RunError(busy()) from None
    except OSError as error:
        named = path if os.path.lexists(path) else path.parent
        raise RunError(f"{named} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def write_whole(path: Path, text: str) -> None:
    """Write a text file; a reader finds all of it, or the old content.

    Raises:
        RunError: The folder cannot be written.
    """
    try:
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error
