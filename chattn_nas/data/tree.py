"""Files below a folder, or inside a tar or zip archive."""

from __future__ import annotations

import os
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from chattn_nas.errors import DataError

#: Folders that systems leave behind; hidden ones (``.git``, ``.ipynb_checkpoints``) are passed over as well.
LEFT_BEHIND = {"__macosx", "@eadir", "__pycache__", "$recycle.bin", "system volume information"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file.

    Attributes:
        path: Relative, with ``/``.
        size: Size in bytes; -1 if unknown.
        stamp: A text that changes when the file does.
        at: Offset of its bytes inside an archive.
    """

    path: str
    size: int
    stamp: str
    at: int = 0


class Tree(Protocol):
    """A tree of files, without hidden ones."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All files, sorted by path."""

    @property
    def folders(self) -> frozenset[str]:
        """All folders."""

    @property
    def passed(self) -> tuple[str, ...]:
        """Paths of files in folders whose name begins with a dot: a user may have meant them."""

    def name(self, entry: Entry) -> str:
        """The name of a file as the user knows it."""

    def read(self, entry: Entry) -> bytes:
        """Read a whole file, from any thread.

        Raises:
            OSError: It cannot be read.
        """


def content_of(tree: Tree, entry: Entry) -> bytes:
    """Read a whole file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return tree.read(entry)
    except OSError as error:
        raise DataError(f"cannot read {tree.name(entry)}: {error.strerror or error}", where=("path",)) from None


def text_of(tree: Tree, entry: Entry, what: str = "") -> str:
    """Read a whole text file.

    Args:
        tree: The files.
        entry: The file among them.
        what: What it holds, for the error: ``"names of classes in "``.

    Raises:
        DataError: It cannot be read, or is not UTF-8.
    """
    try:
        return content_of(tree, entry).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"cannot read {what}{tree.name(entry)}: it is not UTF-8 text", where=("path",)) from None


def stamp_of(status: os.stat_result) -> str:
    """A stamp that identifies a file without reading it: changes show in its size or its times."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def open_tree(path: Path) -> Tree:
    """Open a folder, ``.tar`` or ``.zip``.

    Raises:
        DataError: It does not exist.
    """
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise DataError(f"there is no {path}{nearby(path)}", where=("path",))
    if zipfile.is_zipfile(path):
        return Zip(path)
    return Tar(path)


@dataclass(frozen=True)
class Folder:
    """A folder; links are followed, but not in a circle."""

    root: Path
    entries: tuple[Entry, ...] = field(init=False, repr=False)
    folders: frozenset[str] = field(init=False, repr=False)
    _dotted: list[str] = field(init=False, repr=False, compare=False, default_factory=list)

    def __post_init__(self) -> None:
        folders: set[str] = set()
        entries = sorted(self._walk(self.root, "", folders, ()), key=lambda entry: entry.path)
        object.__setattr__(self, "entries", tuple(entries))
        object.__setattr__(self, "folders", frozenset(folders))

    @property
    def passed(self) -> tuple[str, ...]:
        """Paths of files in folders whose name begins with a dot; they are listed when asked for."""
        inside = ((path, names) for path in self._dotted for _, _, names in os.walk(self.root / path))
        return tuple(f"{path}/{name}" for path, names in inside for name in names if not hidden(name))

    def _walk(self, folder: Path, prefix: str, folders: set[str], above: tuple[str, ...]) -> Iterator[Entry]:
        here = os.path.realpath(folder)
        if here in above:
            raise DataError(f"{folder} is a link to a folder above it", where=("path",))
        try:
            with os.scandir(folder) as inside:
                for item in inside:
                    path = prefix + item.name
                    if hidden(item.name):
                        if item.name.startswith(".") and item.is_dir(follow_symlinks=False):
                            self._dotted.append(path)
                        continue
                    if item.is_dir():
                        folders.add(path)
                        yield from self._walk(Path(item.path), f"{path}/", folders, (*above, here))
                        continue
                    try:
                        status = item.stat()
                        yield Entry(path, status.st_size, stamp_of(status))
                    except OSError:  # a link to nothing: reading it says so
                        yield Entry(path, -1, "")
        except PermissionError as error:
            raise DataError(f"cannot list {folder}: {error.strerror}", where=("path",)) from None

    def name(self, entry: Entry) -> str:
        """Its path."""
        return readable(str(self.root / entry.path))

    def read(self, entry: Entry) -> bytes:
        """The whole file."""
        return (self.root / entry.path).read_bytes()


class Tar:
    """A tar archive without compression, so that every file in it can be read by itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            status = path.stat()
            with tarfile.open(path, "r:") as archive:
                members = [member for member in archive if member.isfile() or member.islnk()]
                offsets = {member.name: (member.offset_data, member.size) for member in members if member.isfile()}
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(f"cannot read the archive {path}: {_reason(path, error)}", where=("path",)) from None
        entries = []
        self.passed = _in_hidden_folders(_clean(member.name) for member in members)
        for member in members:
            name = _clean(member.name)
            at, size = offsets.get(member.linkname if member.islnk() else member.name, (0, -1))
            if not any(map(hidden, name.split("/"))):
                entries.append(Entry(name, size, stamp_of(status), at))
        self.entries = tuple(sorted(entries, key=lambda entry: entry.path))
        self.folders = _folders(self.entries)

    def name(self, entry: Entry) -> str:
        """Its path behind that of the archive."""
        return readable(f"{self.path}/{entry.path}")

    def read(self, entry: Entry) -> bytes:
        """The whole file."""
        if entry.size < 0:
            raise OSError("a link to nothing")
        with self.path.open("rb") as archive:
            archive.seek(entry.at)
            return archive.read(entry.size)


class Zip:
    """A zip archive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        status = path.stat()
        try:
            self.archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise DataError(f"cannot read the archive {path}: {error}", where=("path",)) from None
        stamp = stamp_of(status)
        inside = [info.filename for info in self.archive.infolist() if not info.is_dir()]
        self.passed = _in_hidden_folders(map(_clean, inside))
        entries = [
            Entry(_clean(info.filename), info.file_size, f"{stamp} {info.filename}", number)
            for number, info in enumerate(self.archive.infolist())
            if not info.is_dir() and not any(map(hidden, _clean(info.filename).split("/")))
        ]
        self.entries = tuple(sorted(entries, key=lambda entry: entry.path))
        self.folders = _folders(self.entries)

    def name(self, entry: Entry) -> str:
        """Its path behind that of the archive."""
        return readable(f"{self.path}/{entry.path}")

    def read(self, entry: Entry) -> bytes:
        """The whole file."""
        try:
            return self.archive.read(self.archive.infolist()[entry.at])
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise OSError(str(error)) from None


def readable(name: str) -> str:
    """A name as text that can be printed and kept: a byte of another encoding than UTF-8 becomes ``\\xe4``."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return name


def is_url(path: str) -> bool:
    """Whether it is the address of something elsewhere, also after ``Path`` has made one slash of two."""
    return re.search(r"(^|/)[a-z][a-z0-9+.-]+:/", path) is not None


def hidden(name: str) -> bool:
    """Whether a file or folder is hidden or left behind by the system."""
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def _in_hidden_folders(names: Iterable[str]) -> tuple[str, ...]:
    parts = ((name, name.split("/")) for name in names)
    return tuple(
        name for name, (*above, last) in parts if any(one.startswith(".") for one in above) and not hidden(last)
    )


def _clean(name: str) -> str:
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _folders(entries: tuple[Entry, ...]) -> frozenset[str]:
    folders: set[str] = set()
    for entry in entries:
        parts = entry.path.split("/")[:-1]
        folders |= {"/".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return frozenset(folders)


def _reason(path: Path, error: Exception) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(6)
    except OSError as unreadable:
        return unreadable.strerror or str(unreadable)
    if start[:2] == b"\x1f\x8b" or start[:3] == b"BZh" or start == b"\xfd7zXZ\x00" or start[:4] == b"\x28\xb5\x2f\xfd":
        return "it is compressed, so no file in it can be read by itself: unpack it"
    return (
        f"it is neither a folder nor a .tar or .zip that can be read ({' '.join(str(error).split()) or 'no archive'})"
    )


def nearby(path: Path) -> str:
    """A did-you-mean for a path that does not exist."""
    import difflib

    if is_url(str(path)):
        return "; nothing is fetched from a URL: download the set, and name the file or folder"
    if not path.parent.is_dir():
        return ""
    close = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=1)
    return f"; did you mean {path.with_name(close[0])}?" if close else ""
