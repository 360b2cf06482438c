"""Finds a data set by its path."""

from __future__ import annotations

import os
from pathlib import Path

from chattn_nas.data.settings import DataSettings
from chattn_nas.data.tree import Tree, hidden, is_url, nearby, open_tree, stamp_of
from chattn_nas.errors import DataError


def path_of(settings: DataSettings) -> Path:
    """The path of the file or folder in the settings.

    Raises:
        DataError: The settings have no path.
    """
    if settings.path is None:
        raise DataError(f"data set {settings.dataset} needs a path", where=("path",))
    return Path(os.path.expanduser(os.path.expandvars(settings.path)))


def existing(data: str) -> Path:
    """The file or folder that the option ``--data`` names.

    Raises:
        DataError: It does not exist.
    """
    place = Path(os.path.expanduser(data))
    if not place.exists():
        if is_url(data):
            raise DataError(f"--data {data}: there is no such file or folder{nearby(place)}")
        beside = sorted(place.parent.iterdir()) if place.parent.is_dir() else []
        near = [str(one) for one in beside if not hidden(one.name)][:20]
        raise DataError(f"--data {data}: there is no such file or folder", value=data, choices=("digits", *near))
    return place


def opened(path: Path) -> tuple[Tree, list[str]]:
    """Open a folder or an archive; return its files, with stamps that identify them without reading.

    Raises:
        DataError: It does not exist.
    """
    tree = open_tree(path)
    return tree, [str(path.absolute()), *(f"{entry.path} {entry.stamp}" for entry in tree.entries)]


def stamp(path: Path) -> str:
    """A stamp that identifies a file without reading it.

    Raises:
        DataError: It does not exist.
    """
    try:
        return f"{path.absolute()} {stamp_of(path.stat())}"
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}{nearby(path)}", where=("path",)) from None
