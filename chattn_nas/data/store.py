"""Brings a data set from its source through the reader into the cache, the only way in for images."""

from __future__ import annotations

import json
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.cache import FACTS, PASSING, Cache, Writer, default_folder, key_of, read_facts
from chattn_nas.data.classes import check_classes, choose
from chattn_nas.data.decoding import Pixels, Reading
from chattn_nas.data.description import SHOWN, Description, part_facts
from chattn_nas.data.pictures import Arrays, Found, Listing, Part
from chattn_nas.data.reading import OnProgress, ReadPart, progress, read_part, settle
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources import find_source
from chattn_nas.errors import DataError, InputError
from chattn_nas.image_size import pair, pixels, shown
from chattn_nas.plural import first_of, plural

#: Sets that this process has opened: whoever asks again gets the same arrays.
HELD = 4
_open: OrderedDict[str, ImageStore] = OrderedDict()


@dataclass(frozen=True)
class ImageStore:
    """A data set in the cache.

    Attributes:
        description: Its description.
        images: Images by part, uint8 (N, C, H, W), mapped from the cache.
        targets: Targets by part: labels int64 (N,), presence of classes uint8 (N, classes), or a task's own.
    """

    description: Description
    images: dict[str, NDArray[np.uint8]]
    targets: dict[str, NDArray[Any]]


def open_set(settings: DataSettings, source: Callable[[DataSettings], Found] | None = None) -> ImageStore:
    """Open the set that the settings name, after reading it into the cache if needed.

    Args:
        settings: Settings of the set.
        source: A task's own source; by default that of ``settings.dataset``.

    Raises:
        DataError: The set is missing or malformed.
    """
    with in_section():
        return _open_set(settings, source or find_source(settings))


@contextmanager
def in_section() -> Iterator[None]:
    """Prefix the place of errors inside with the name of the spec's section."""
    try:
        yield
    except InputError as error:
        raise error if error.where[:1] == ("data",) else error.at("data") from None


def _open_set(settings: DataSettings, source: Callable[[DataSettings], Found]) -> ImageStore:
    data_set = source(settings)
    key = key_of([*settings.read_by, *data_set.stamps])
    if key in _open:
        _open.move_to_end(key)
        return _open[key]
    cache = Cache(
        Path(os.path.expanduser(settings.cache)) if settings.cache else default_folder(),
        int(settings.cache_limit * 2**30),
    )
    for attempt in range(3):
        place = cache.entry(key, lambda place: _fill(place, cache, data_set, settings))
        try:
            stored = _opened(place)
            break
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
            if attempt == 2 or getattr(error, "errno", None) in PASSING:
                raise
            if attempt or not isinstance(error, FileNotFoundError):  # else another process made room just now
                cache.remove(place, error)
    _open[key] = stored
    while len(_open) > HELD:
        _open.popitem(last=False)
    return stored


def _opened(place: Path) -> ImageStore:
    description = Description.from_dict(read_facts(place))
    images, targets = (
        {part: np.load(place / f"{part}.{kind}.npy", mmap_mode="r") for part in description.parts}
        for kind in ("images", "targets")
    )
    return ImageStore(description, images, {part: np.array(mapped) for part, mapped in targets.items()})


def _fill(place: Path, cache: Cache, data_set: Found, settings: DataSettings) -> None:
    """Read all parts of a set into the folder of a cache entry."""
    begun = time.monotonic()
    listing = choose(data_set.listing(), settings.classes)
    warned = check_classes(listing)
    total = sum(len(part.images) for part in listing.parts.values())
    first = listing.parts["train"].images
    channels: int | None = settings.channels
    if channels is None and not isinstance(first, Arrays):
        channels = 0  # one as long as all images are grey
    each = channels or (first.array.shape[3] if isinstance(first, Arrays) else 3)
    cache.make_room(total * each * pixels(settings.image_size))
    reading = Reading(
        size=pair(settings.image_size), resize=settings.resize, background=settings.background, channels=channels,
        scale=settings.range,
    )  # fmt: skip
    with progress(total, "Reading images") as update:
        surveys, reading = settle(
            listing.parts["train"], reading, lambda how: _read_parts(listing, how, settings, place, update)
        )
    _refuse_bad(surveys, settings)
    targets = {
        name: _targets(part, surveys[name], place / f"{name}.targets.npy") for name, part in listing.parts.items()
    }
    parts = {name: part_facts(surveys[name], targets[name], len(listing.class_names)) for name in listing.parts}
    images = np.load(place / "train.images.npy", mmap_mode="r")
    _refuse_equal(images, listing)
    if any(survey.bad for survey in surveys.values()):
        kept = {name: part.take(np.array(surveys[name].kept, np.int64)) for name, part in listing.parts.items()}
        warned = check_classes(Listing(parts=kept, class_names=listing.class_names))
    warned += [*_turned(listing, surveys), *_classes_of_masks(targets, listing.class_names)]
    description = Description(
        parts=parts, class_names=listing.class_names, channels=images.shape[1], image_size=settings.image_size,
        multilabel=bool(targets["train"].ndim == 2 and parts["train"].counts is not None), may_flip=listing.may_flip,
        said=(*listing.said, *_odd(parts, reading)), warned=tuple(warned), seconds=time.monotonic() - begun,
        value_range=reading.scale,
    )  # fmt: skip
    (place / FACTS).write_text(json.dumps(description.to_dict()))


def _read_parts(
    listing: Listing, reading: Reading, settings: DataSettings, place: Path, on_progress: OnProgress
) -> dict[str, ReadPart]:
    surveys: dict[str, ReadPart] = {}
    done = 0
    for name, part in listing.parts.items():
        with _Writers(place, name) as writers:
            surveys[name] = read_part(
                part, reading, writers.add, threads=None if listing.threads else 1,
                on_progress=partial(_after, on_progress, done),
            )  # fmt: skip
        done += len(part.images)
    return surveys


def _after(on_progress: OnProgress, before: int, done: int) -> None:
    on_progress(before + done)


class _Writers:
    """Writers for the images and the read targets of one part, each with its own file."""

    def __init__(self, place: Path, part: str) -> None:
        self.place, self.part, self.files = place, part, dict[str, Writer]()

    def add(self, pixels: Pixels, targets: NDArray[Any] | None) -> None:
        """Append images and targets."""
        for kind, items in (("images", pixels), ("targets", targets)):
            if items is not None:
                if kind not in self.files:
                    path = self.place / f"{self.part}.{kind}.npy"
                    self.files[kind] = Writer(path, items.shape[1:], items.dtype)
                self.files[kind].add(items)

    def __enter__(self) -> _Writers:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self.files.values():
            file.close()


def _targets(part: Part, survey: ReadPart, path: Path) -> NDArray[Any]:
    """Write the targets of the images that were kept."""
    if isinstance(part.targets, np.ndarray):
        np.save(path, part.targets[survey.kept])
    targets: NDArray[Any] = np.load(path, mmap_mode="r")
    return targets


def _refuse_bad(surveys: dict[str, ReadPart], settings: DataSettings) -> None:
    bad = [one for survey in surveys.values() for one in survey.bad]
    if not bad:
        return
    empty = [name for name, survey in surveys.items() if not survey.kept]
    if settings.bad_files == "fail" or empty:
        # The number of hidden names comes before the names: a long sentence loses its end.
        more = f" (the first {SHOWN} here, and {len(bad) - SHOWN} more)" if len(bad) > SHOWN else ""
        them = "it" if len(bad) == 1 else "them"
        way = "" if empty else f"; remove {them}, or leave {them} out with data.bad_files: skip"
        raise DataError(
            f"{plural(len(bad), 'image')} cannot be read{more}: {_listed(bad[:SHOWN])}{way}",
            where=("bad_files",) if settings.bad_files == "skip" else ("path",),
        )


def _listed(bad: Sequence[Sequence[str]]) -> str:
    """Names with reasons; those with one reason are listed together."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in bad:
        by_reason.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())


def _turned(listing: Listing, surveys: dict[str, ReadPart]) -> list[str]:
    """A sentence on images that are shown otherwise than they are stored, where targets lie on their pixels."""
    turned = sum(surveys[name].turned for name, one in listing.parts.items() if not isinstance(one.targets, np.ndarray))
    if not turned:
        return []
    them = "it" if turned == 1 else "them"
    return [f"EXIF turns or mirrors {plural(turned, 'image')}, read as shown: boxes and masks must lie on {them} as "
            "shown, not as stored, or they mark something else"]  # fmt: skip


def _classes_of_masks(targets: dict[str, NDArray[Any]], names: Sequence[str]) -> list[str]:
    """Sentences on classes of masks (N, H, W) that another part shows and the training images do not."""
    if targets["train"].ndim != 3 or targets["train"].dtype != np.uint8:
        return []
    shown = {
        part: np.any([np.bincount(one.ravel(), minlength=256) > 0 for one in masks], axis=0)
        for part, masks in targets.items()
    }
    alone = {
        part: [name for name, here, there in zip(names, held, shown["train"]) if here and not there]
        for part, held in shown.items()
    }
    return [
        f"the {part} masks show {first_of(classes)}, which no training mask shows: nothing can learn it"
        for part, classes in alone.items()
        if classes
    ]


def _refuse_equal(images: NDArray[np.uint8], listing: Listing) -> None:
    if len(images) > 1 and all((images[i : i + 256] == images[0]).all() for i in range(0, len(images), 256)):
        raise DataError(
            f"all {len(images):,} training images are the same once they are {shown(images.shape[2:])}: "
            f"{listing.parts['train'].images.name(0)}, ...",
            where=("path",),
        )


def _odd(parts: dict[str, Any], reading: Reading) -> list[str]:
    """Sentences about oddities of the images."""
    sentences = []
    bad = [one for facts in parts.values() for one in facts.bad]
    if bad:
        are = "is" if len(bad) == 1 else "are"
        sentences.append(f"{plural(len(bad), 'image')} cannot be read and {are} left out: {_listed(bad[:SHOWN])}"
                     + (f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""))  # fmt: skip
    frames = sum(facts.frames for facts in parts.values())
    if frames:
        sentences.append(
            f"{plural(frames, 'file')} {'holds' if frames == 1 else 'hold'} several frames: the first is read"
        )
    if reading.scale is not None and reading.guessed:
        low, high = reading.scale
        sentences.append(f"numbers from {low:g} to {high:g} are read as black to white (data.range)")
    tiny = sum(images for facts in parts.values() for width, height, images in facts.sizes if min(width, height) < 4)
    if tiny:
        sentences.append(f"{plural(tiny, 'image')} {'is' if tiny == 1 else 'are'} smaller than 4 px")
    return sentences
