"""Files that are whole or not there, whoever is killed while one is written; locks; where temporary files lie."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLock

#: Bytes below which a disk is full.
LEAST_FREE = 1 << 20
#: Seconds after which an empty lock file has no holder where the file itself is the lock: a holder writes its name.
EMPTY = 10.0


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside ``path`` to write to; it takes the place of ``path`` at the end, and is removed after an error.

    The file gets the mode of any new file, whatever wrote it: safetensors makes files for their owner alone.

    Raises:
        OSError: The folder cannot be written, its disk is full (whatever the writer's library says of that), or a
            folder is in the way; it names ``path``.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.touch()
        mode = partial.stat().st_mode & 0o777
        yield partial
        partial.chmod(mode)
        partial.replace(path)
    except Exception as error:
        number = errno.ENOSPC if is_full(path.parent, error) else getattr(error, "errno", None)
        if number is None or getattr(error, "filename", None) not in (None, str(partial), partial):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


def is_full(folder: Path, error: Exception | None = None) -> bool:
    """Whether the disk of a folder is full, or a quota; libraries say it in many ways, or of no file at all.

    Args:
        folder: Something in it could not be written.
        error: What was said then.
    """
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    with suppress(OSError):
        return shutil.disk_usage(folder).free < LEAST_FREE
    return False


def temporary_folder() -> Path:
    """This user's among temporary files; containers run as users that have a number and no name. It may be missing."""
    user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"chattn-nas-{user}"


def lock_at(path: Path, timeout: float = -1) -> FileLock:
    """A lock whose file may lie there from before; not taken yet.

    Where a system has no locks (neither ``fcntl`` nor ``msvcrt``) the file itself is the lock, and one that a system
    with locks left behind, which is empty, would be held for ever.

    Args:
        path: Its folder must be there.
        timeout: Seconds to wait for it; below 0 without end.
    """
    if issubclass(FileLock, SoftFileLock):
        with suppress(OSError):
            told = path.stat()
            if told.st_size == 0 and time.time() - told.st_mtime > EMPTY:
                path.unlink()
    return FileLock(path, timeout=timeout)
