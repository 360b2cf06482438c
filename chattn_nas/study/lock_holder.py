"""Finds the process that holds the lock of an SQLite file, if the system knows it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

#: All locks of all processes, on Linux.
LOCKS = Path("/proc/locks")
#: The file beside a database that is locked in its place: the index of the write-ahead log.
BESIDE = ("", "-shm", "-wal")


def holder(file: Path) -> int | None:
    """The process that holds the write lock of an SQLite file; ``None`` if there is none, or it is unknown."""
    files = set()
    for ending in BESIDE:
        with suppress(OSError):
            files.add(str(file.with_name(file.name + ending).stat().st_ino))
    with suppress(OSError, ValueError, IndexError):  # a system may tell them otherwise
        for line in LOCKS.read_text().splitlines():
            words = line.split()  # 1: POSIX  ADVISORY  WRITE 1234 08:01:56789 120 120; "->" stands in those who wait
            if "->" not in words and "WRITE" in words and words[5].rpartition(":")[2] in files and int(words[4]) > 0:
                return int(words[4])
    return None


def told_holder(file: Path | None) -> str:
    """The rest of a sentence that begins with the file: who holds its lock, and what to do."""
    import psutil  # on Linux it needs modules that reading a study shall not need

    pid = holder(file) if file is not None else None
    with suppress(psutil.Error):
        if pid is not None:
            process = psutil.Process(pid)
            name = process.name()  # its arguments may hold secrets
            if process.status() == psutil.STATUS_STOPPED:
                way = f"which was stopped: let it go on with 'kill -CONT {pid}', or end it"
                return f"is locked by process {pid} ({name}), {way}"
            return f"is locked by process {pid} ({name}): wait until it is done, or end it"
    return "is locked by another process: wait until it is done, or end it"
