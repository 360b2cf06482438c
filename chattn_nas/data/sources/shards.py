"""Shards in WebDataset's form: tar archives in which files of one name make one sample (``0001.jpg``, ``0001.cls``)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from chattn_nas.data.classes import label, sorted_names
from chattn_nas.data.layout import PARTS, is_image
from chattn_nas.data.pictures import Found, Listing, Part, Pictures, Raw
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.place import path_of
from chattn_nas.data.tree import Entry, Tar
from chattn_nas.errors import DataError
from chattn_nas.plural import plural

#: Endings of files that hold a label.
LABELS = ("cls", "cls.txt", "label", "txt", "json")
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


class Shards(Pictures):
    """Images of several archives."""

    def __init__(self, images: Sequence[tuple[Tar, Entry]]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """The path of the archive and, in it, of the file."""
        tar, entry = self.images[index]
        return tar.name(entry)

    def open(self, index: int) -> tuple[Raw, bytes]:
        """Open the image, of which only the header is read; return it with the bytes of the file."""
        from io import BytesIO

        from PIL import Image

        tar, entry = self.images[index]
        content = tar.read(entry)
        if not content:
            raise OSError("the file is empty")
        return Image.open(BytesIO(content)), content

    def take(self, index: np.ndarray) -> Shards:  # type: ignore[type-arg]
        """Select some of them."""
        return Shards([self.images[i] for i in index])


def find_webdataset(settings: DataSettings) -> Found:
    """Find shards by a folder or a pattern such as ``train-{000..009}.tar`` or ``*.tar``; names give the part.

    Raises:
        DataError: There are none, or a sample has no label.
    """
    files = list(_expanded(path_of(settings)))
    tars = [Tar(file) for file in files]
    stamps = [f"{tar.path.absolute()} {entry.path} {entry.stamp}" for tar in tars for entry in tar.entries]

    def listing() -> Listing:
        """List the samples by part; called only if the set is not in the cache."""
        samples = [sample for tar in tars for sample in _samples(tar, settings)]
        if not samples:
            raise DataError(f"{files[0]} holds no samples: files such as 0001.jpg and 0001.cls", where=("path",))
        names = sorted_names({text for _, _, text in samples})
        parts: dict[str, Part] = {}
        for part in ("train", "validation", "test"):
            mine = [(tar, entry, text) for tar, entry, text in samples if _part(tar.path) == part]
            if mine:
                parts[part] = Part(
                    Shards([(tar, entry) for tar, entry, _ in mine]), label([text for _, _, text in mine], names)
                )
        if "train" not in parts:
            raise DataError(f"no shard is to train on: {', '.join(file.name for file in files[:5])}", where=("path",))
        return Listing(parts=parts, class_names=tuple(names), said=(plural(len(files), "shard"),))

    return Found(stamps, listing)


def _expanded(path: Path) -> Iterator[Path]:
    text = str(path)
    match = RANGE.search(text)
    if match:
        for number in range(int(match[1]), int(match[2]) + 1):
            yield from _expanded(Path(text.replace(match[0], str(number).zfill(len(match[1])), 1)))
        return
    if path.is_dir() or any(letter in path.name for letter in "*?["):
        files = sorted(path.glob("*.tar") if path.is_dir() else path.parent.glob(path.name))
        if not files:
            raise DataError(f"there are no shards at {path}", where=("path",))
        yield from files
        return
    if not path.exists():
        raise DataError(f"there is no shard {path}", where=("path",))
    yield path


def _part(path: Path) -> str:
    words = re.split(r"[^a-z]+", path.stem.lower())
    return next((PARTS[word] for word in words if word in PARTS), "train")


def _samples(tar: Tar, settings: DataSettings) -> Iterator[tuple[Tar, Entry, str]]:
    together: dict[str, dict[str, Entry]] = {}
    for entry in tar.entries:
        folder, _, name = entry.path.rpartition("/")
        stem, _, ending = name.partition(".")
        together.setdefault(f"{folder}/{stem}", {})[ending.lower()] = entry
    for key, files in together.items():
        images = [ending for ending in files if is_image(f"a.{ending}")]
        if settings.image_column in files:
            images = [str(settings.image_column)]
        if not images:
            continue
        yield tar, files[images[0]], _label(tar, key, files, settings)


def _label(tar: Tar, key: str, files: dict[str, Entry], settings: DataSettings) -> str:
    column = settings.label_column if isinstance(settings.label_column, str) else None
    wanted = [column] if column in files else LABELS
    suffix = next((ending for ending in wanted if ending in files), None)
    if suffix is None:
        raise DataError(
            f"sample {key.strip('/')} of {tar.path} has an image but no label ({', '.join(LABELS[:2])}, ...): an "
            "archive of class folders is data.dataset: image_folder",
            where=("path",),
        )
    text = tar.read(files[suffix]).decode(errors="replace").strip()
    if suffix.endswith("json"):
        try:
            held = json.loads(text)
        except ValueError:
            raise DataError(f"{tar.name(files[suffix])} is not JSON", where=("path",)) from None
        key = (
            column
            if column and column not in files
            else next((k for k in ("cls", "label", "class") if k in held), "label")
        )
        if not isinstance(held, dict) or key not in held:
            raise DataError(f"{tar.name(files[suffix])} has no {key!r}", where=("label_column",))
        text = str(held[key])
    return text
