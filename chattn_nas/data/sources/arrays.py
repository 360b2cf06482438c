"""Arrays on disk, in one ``.npz`` or as ``.npy``: ``x_train``, ``y_train``, perhaps also for ``val`` and ``test``."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.pictures import Found
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.in_memory import PREFIXES, listing_of_arrays
from chattn_nas.data.sources.place import path_of, stamp
from chattn_nas.errors import DataError


def find_npz(settings: DataSettings) -> Found:
    """Find an archive.

    Raises:
        DataError: There is none.
    """
    path = path_of(settings)
    if path.is_dir():
        raise DataError(f"{path} is a folder, no .npz file", where=("path",))
    return Found((stamp(path),), lambda: listing_of_arrays(_read_npz(path), str(path), settings))


def find_npy(settings: DataSettings) -> Found:
    """Find a folder with ``x_train.npy``, ``y_train.npy`` and so on; images stay on disk until they are read.

    Raises:
        DataError: There is none.
    """
    path = path_of(settings)
    folder = path.parent if path.suffix == ".npy" else path
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder} of .npy files", where=("path",))
    files = sorted(folder.glob("*.npy"))
    if not any(file.stem.lower().startswith(PREFIXES[0]) for file in files):
        listed = f": it holds {', '.join(file.name for file in files[:10])}" if files else ""
        raise DataError(f"{folder} holds no x_train.npy{listed}", where=("path",))
    return Found(
        [stamp(file) for file in files],
        lambda: listing_of_arrays({file.stem: _read_npy(file) for file in files}, str(folder), settings),
    )


def _read_npz(path: Path) -> Mapping[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise DataError(f"{path} is a single array, no .npz archive", where=("path",))
            with archive:
                return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, KeyError) as error:
        raise DataError(f"cannot read {path}: {_words(error, path)}", where=("path",)) from None


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {path}: {_words(error, path)}", where=("path",)) from None


def _words(error: Exception, path: Path) -> str:
    text = " ".join(str(error).split())
    if "allow_pickle" in text or "pickled" in text:
        if path.read_bytes()[:4] not in (b"PK\x03\x04", b"\x93NUM"):
            return "it is no archive of arrays"
        return "it holds Python objects, not numbers"
    return text or type(error).__name__
