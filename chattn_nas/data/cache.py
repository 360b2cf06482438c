"""The cache of images on disk: uint8 arrays that every process maps into its memory."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chattn_nas.errors import DataError, first_line
from chattn_nas.files import lock_at, temporary_folder

log = logging.getLogger(__name__)
#: Errors that say nothing of a file: too many are open, memory is short, a disk is away for a moment.
PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.EACCES)
#: Format of the cache: increased whenever the same key would hold other bytes.
FORMAT = 1
FACTS = "description.json"
#: Says of every file of an entry its size, when it was written, and its checksum.
SEAL = "files.json"
#: Bytes of a file that are looked at together.
PIECE = 1 << 20
VARIABLE = "CHATTN_NAS_CACHE"


def default_folder() -> Path:
    """The folder ``$CHATTN_NAS_CACHE``, else ``chattn-nas`` in the user's cache folder.

    For a user without a home it lies among temporary files.
    """
    if named := os.environ.get(VARIABLE):
        return Path(os.path.expanduser(named))
    users = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    # Containers run as users without a name, and some without HOME: "~" stays then.
    return (temporary_folder() if users.startswith("~") else Path(users) / "chattn-nas") / "data"


def key_of(parts: Sequence[str]) -> str:
    """The name of an entry, which depends on the files and on how they are read."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (str(FORMAT), *parts):
        digest.update(part.encode(errors="surrogatepass"))  # names of files may hold any bytes
        digest.update(b"\0")
    return digest.hexdigest()


class Cache:
    """A folder of cached data sets.

    Args:
        folder: The folder; created if needed.
        limit: Limit for all entries together, in bytes.

    Raises:
        DataError: The folder cannot be written.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise DataError(
                f"the cache of images cannot be written in {folder}: {error.strerror}; data.cache or {VARIABLE} names "
                "another place",
                where=("cache",),
            ) from None

    def entry(self, key: str, make: Callable[[Path], None]) -> Path:
        """Return the folder of an entry, which ``make`` fills if it does not exist.

        If several processes ask at once, one makes it and the others wait. A process that is killed leaves nothing that
        looks complete, and an entry whose files have changed is made again.

        Args:
            key: From :func:`key_of`.
            make: Writes into the given folder, after calling :meth:`make_room`.

        Raises:
            DataError: The folder cannot be written, or ``make`` fails.
        """
        place = self.folder / key
        if self._there(place):
            return place
        with self._locked(key):
            if self._there(place):  # made meanwhile by another
                return place
            for left in self.folder.glob(f"{key}.partial-*"):  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            partial = self.folder / f"{key}.partial-{os.getpid()}"
            try:
                partial.mkdir()
                make(partial)
                _seal(partial)
                shutil.rmtree(place, ignore_errors=True)
                partial.rename(place)
            except OSError as error:
                raise DataError(
                    f"the cache of images in {self.folder} cannot be written: {error.strerror}", where=("cache",)
                ) from None
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return place

    @staticmethod
    def _there(place: Path) -> bool:
        """Whether the entry is complete; if so, mark it as just used, so that it is the last to be removed."""
        if not (place / FACTS).is_file() or not _is_whole(place):
            return False
        with suppress(OSError):
            os.utime(place)
        return True

    def remove(self, place: Path, error: Exception) -> None:
        """Remove an entry that cannot be read, so that it is made again."""
        tell_damaged(place, error)
        with self._locked(place.name):
            shutil.rmtree(place, ignore_errors=True)

    def make_room(self, size: int) -> None:
        """Remove the least recently used entries; a process that maps one keeps it until it ends.

        Args:
            size: Bytes that are about to be written.

        Raises:
            DataError: The limit or the disk is too small for them.
        """
        if size > self.limit:
            raise DataError(
                f"the images take {size / 2**30:.1f} GiB as they are trained on, more than data.cache_limit "
                f"({self.limit / 2**30:g} GiB) grants: raise it, or take a smaller data.image_size",
                where=("cache_limit",),
            )
        now = time.time()
        for left in self.folder.glob("*.partial-*"):
            with suppress(OSError):
                if now - left.stat().st_mtime > 86400:
                    shutil.rmtree(left, ignore_errors=True)
        entries = sorted((path for path in self.folder.iterdir() if (path / FACTS).is_file()), key=_used)
        taken = sum(map(_size, entries))
        for path in entries:
            if taken + size <= self.limit and shutil.disk_usage(self.folder).free > size:
                break
            taken -= _size(path)
            shutil.rmtree(path, ignore_errors=True)
        free = shutil.disk_usage(self.folder).free
        if free < size:
            raise DataError(
                f"the images take {size / 2**30:.2f} GiB in {self.folder}, which has {free / 2**30:.2f} GiB free: "
                f"data.cache or {VARIABLE} names another place",
                where=("cache",),
            )

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        with lock_at(self.folder / f"{key}.lock"):  # these files stay: one that is removed no longer excludes anybody
            yield


def _seal(place: Path) -> None:
    """Store the checksums of an entry's files."""
    files = {file.name: _stamp(file) | {"crc32": _checksum(file)} for file in place.iterdir() if file.name != SEAL}
    (place / SEAL).write_text(json.dumps(files))


def _is_whole(place: Path) -> bool:
    """Whether the files of an entry are unchanged.

    Checksums are computed only for files that were touched since, since they take a second per GB. Entries of earlier
    versions have none; their damage shows when they cannot be read.
    """
    seal = place / SEAL
    try:
        if not seal.exists():
            return True
        for name, recorded in json.loads(seal.read_text()).items():
            stamp = _stamp(place / name)
            touched = any(recorded[key] != value for key, value in stamp.items())
            if touched and (recorded["size"] != stamp["size"] or recorded["crc32"] != _checksum(place / name)):
                raise ValueError(f"{name} is not what was written")
        return True
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if getattr(error, "errno", None) in PASSING:
            return True
        if place.exists():  # else another process made room just now
            tell_damaged(place, error)
        return False


def tell_damaged(place: Path, error: Exception) -> None:
    """Log that an entry is damaged."""
    log.warning("%s in the cache of images is damaged (%s): the set is read again", place, first_line(error))


def _stamp(file: Path) -> dict[str, int]:
    status = file.stat()
    return {"size": status.st_size, "written": status.st_mtime_ns}


def _checksum(file: Path) -> int:
    crc = 0
    with file.open("rb") as stream:
        while piece := stream.read(PIECE):
            crc = zlib.crc32(piece, crc)
    return crc


def read_facts(place: Path) -> dict[str, Any]:
    """Read the facts that an entry holds about itself."""
    facts: dict[str, Any] = json.loads((place / FACTS).read_text())
    return facts


class Writer:
    """Writes an array to disk piece by piece, in the format of ``numpy.save``.

    Args:
        path: Path of the file.
        shape: Shape of one item.
        dtype: Data type of its numbers.

    The header is written again once the number of items is known.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self.path, self.shape, self.dtype, self.count = path, shape, np.dtype(dtype), 0
        self.file = path.open("wb")
        self._header(0)

    def add(self, items: NDArray[Any]) -> None:
        """Append items (n, *shape)."""
        self.file.write(np.ascontiguousarray(items, self.dtype).tobytes())
        self.count += len(items)

    def close(self) -> None:
        """Write the number of items, and close the file."""
        self.file.seek(0)
        self._header(self.count)  # as long as the first one
        self.file.close()

    def _header(self, count: int) -> None:
        text = repr({"descr": self.dtype.str, "fortran_order": False, "shape": (count, *self.shape)})
        body = text.encode().ljust(117) + b"\n"
        self.file.write(b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body)


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    with suppress(OSError):
        return sum(file.stat().st_size for file in path.iterdir())
    return 0
