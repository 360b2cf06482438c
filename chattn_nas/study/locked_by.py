"""Who may hold the lock of an SQLite file: no portable interface tells it, but one tells who has the file open."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil


def locked_by(file: Path | None) -> str:
    """The rest of a sentence that begins with a locked file: which other processes have it open, and what to do."""
    import psutil  # on Linux it needs modules that reading a study shall not need

    users: list[str] = []
    for process in _users(file):
        with suppress(psutil.Error):
            user = f"process {process.pid} ({process.name()})"  # its arguments may hold secrets
            if process.status() == psutil.STATUS_STOPPED:
                way = f"let it go on with 'kill -CONT {process.pid}', or end it"
                return f"is locked; {user}, which has it open, was stopped: {way}"
            users.append(user)
    if not users:
        return "is locked by another process: wait until it is done, or end it"
    return f"is locked; it is open in {', '.join(users)}: wait until what writes is done, or end it"


def numbers_of(file: Path) -> str:
    """The other processes that have a file open, to stand behind a noun: `` (process 17)``; empty if none is seen."""
    numbers = [f"process {process.pid}" for process in _users(file)]
    return f" ({', '.join(numbers)})" if numbers else ""


def _users(file: Path | None) -> Iterator[psutil.Process]:
    import psutil  # as above

    path = str(file.resolve()) if file is not None else None
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended meanwhile, or is another user's
            if process.pid != os.getpid() and path in {held.path for held in process.open_files()}:
                yield process
