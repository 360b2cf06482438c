"""Who may hold the lock of an SQLite file: no portable interface tells it, but one tells who has the file open."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def locked_by(file: Path | None) -> str:
    """The rest of a sentence that begins with a locked file: which other processes have it open, and what to do."""
    import psutil  # on Linux it needs modules that reading a study shall not need

    path = str(file.resolve()) if file is not None else None
    users: list[str] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended meanwhile, or is another user's
            if process.pid == os.getpid() or path not in {held.path for held in process.open_files()}:
                continue
            user = f"process {process.pid} ({process.name()})"  # its arguments may hold secrets
            if process.status() == psutil.STATUS_STOPPED:
                way = f"let it go on with 'kill -CONT {process.pid}', or end it"
                return f"is locked; {user}, which has it open, was stopped: {way}"
            users.append(user)
    if not users:
        return "is locked by another process: wait until it is done, or end it"
    return f"is locked; it is open in {', '.join(users)}: wait until what writes is done, or end it"
