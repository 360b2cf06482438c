"""Files that are written whole or not at all, even if the writer is killed; locks; the folder for temporary files."""

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
#: What a file system says then, or a quota.
FULL = (errno.ENOSPC, errno.EDQUOT)
#: Seconds after which an empty lock file has no holder where the file itself is the lock: a holder writes its name.
EMPTY = 10.0


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a file beside ``path`` to write to; it replaces ``path`` at the end, and is removed after an error.

    It gets the permissions of any new file: safetensors would make it readable for its owner only.

    Raises:
        OSError: The folder cannot be written, the disk is full (whatever the writing library calls that), or a folder
            is in the way; the error names ``path``.
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
    """Whether an error means that a disk or a quota is full; libraries say so in many ways, often without a file.

    Args:
        folder: The folder that could not be written to.
        error: The error that was raised.
    """
    if getattr(error, "errno", None) in FULL:
        return True
    with suppress(OSError):
        return shutil.disk_usage(folder).free < LEAST_FREE
    return False


def try_to_write(folder: Path) -> None:
    """See whether a folder that may not exist yet can be written to, and leave nothing there.

    Raises:
        OSError: It cannot, or it cannot be made; the error names it.
    """
    above = folder.absolute()
    try:
        while not above.exists():
            above = above.parent
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), str(folder)) from error


def temporary_folder() -> Path:
    """This user's folder for temporary files, which may not exist yet; in containers a user may have no name."""
    user = str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    return Path(tempfile.gettempdir()) / f"chattn-nas-{user}"


def lock_at(path: Path, timeout: float = -1) -> FileLock:
    """Return a lock, not acquired yet, whose file may be left over from an earlier process.

    On a system without file locks (neither ``fcntl`` nor ``msvcrt``) the file itself is the lock; an empty one that a
    system with locks left behind would otherwise be held for ever.

    Args:
        path: The lock's file; its folder must exist.
        timeout: Seconds to wait for the lock; negative waits for ever.
    """
    if issubclass(FileLock, SoftFileLock):
        with suppress(OSError):
            stat = path.stat()
            if stat.st_size == 0 and time.time() - stat.st_mtime > EMPTY:
                path.unlink()
    return FileLock(path, timeout=timeout)
