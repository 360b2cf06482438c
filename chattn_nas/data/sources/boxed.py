"""Listings of images with boxes, made the same way for all sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chattn_nas.data.boxes import Box, Boxes
from chattn_nas.data.pictures import Files, Found, Listing, Part
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.place import opened, path_of
from chattn_nas.data.tree import Entry, Tree
from chattn_nas.errors import DataError
from chattn_nas.plural import plural

OUTSIDE = ("fail", "clip")


@dataclass
class Boxed:
    """One image with its boxes.

    Attributes:
        entry: Of the image.
        file: What tells the boxes.
        size: Width and height that are told; 0 where they are not.
        boxes: Of its objects.
    """

    entry: Entry
    file: str
    size: tuple[int, int] = (0, 0)
    boxes: list[Box] = field(default_factory=list)


def found_boxed(settings: DataSettings, listing: Callable[[Tree, str, DataSettings], Listing]) -> Found:
    """The files of such a source; none is read.

    Args:
        settings: With its path.
        listing: Makes of the files, what the set is called in messages and the settings what is in it.

    Raises:
        DataError: There is no such folder, or options do not serve.
    """
    _check_options(settings)
    path = path_of(settings)
    tree, stamps = opened(path)
    return Found(stamps, lambda: listing(tree, str(path), settings))


def _check_options(settings: DataSettings) -> None:
    """Refuse what these sources do not take.

    Raises:
        DataError: Options that there are not; or cropping, which cuts objects.
    """
    outside = settings.options.get("outside", "fail")
    if set(settings.options) - {"outside"} or outside not in OUTSIDE:
        raise DataError(
            f"data.options of {settings.dataset} are outside: fail or clip, not {settings.options}",
            where=("options",), value=outside, choices=OUTSIDE,
        )  # fmt: skip
    if settings.resize == "crop":
        raise DataError(
            "data.resize: crop would cut objects away: pad shows the whole image, squash changes its proportions",
            where=("resize",),
        )


def listing_of_boxed(
    tree: Tree, parts: Mapping[str, Sequence[Boxed]], names: Sequence[str], settings: DataSettings,
    *, root: str, said: Sequence[str], **how: Any,
) -> Listing:  # fmt: skip
    """Images and boxes of every part.

    Classes that nothing is of are left out, as exports of annotation tools hold some.

    Args:
        tree: Where the images lie.
        parts: Their images.
        names: Of the classes.
        settings: ``options``.
        root: As the user knows the place.
        said: How it was understood.
        how: ``word`` and ``shares`` of :class:`~chattn_nas.data.boxes.Boxes`.

    Raises:
        DataError: There is no box to learn from.
    """
    if not parts.get("train"):
        raise DataError(f"{root} holds no images to train on", where=("path",))
    most = max(len(one.boxes) for images in parts.values() for one in images)
    found = {
        part: Part(
            Files(tree, [one.entry for one in images]),
            Boxes.of(
                [one.boxes for one in images], [one.size for one in images], [one.file for one in images],
                most=max(1, most), outside=settings.options.get("outside", "fail"), **how,
            ),
        )
        for part, images in sorted(parts.items(), key=lambda item: item[0] != "train")
        if images
    }  # fmt: skip
    boxes = [part.targets for part in found.values() if isinstance(part.targets, Boxes)]
    counts = np.sum([one.counts(len(names)) for one in boxes], axis=0)
    if not counts.sum():
        raise DataError(f"the images of {root} show no object: there is no box to learn from", where=("path",))
    told = list(said)
    used = [index for index, count in enumerate(counts.tolist()) if count]
    if len(used) < len(names):
        unused = [name for index, name in enumerate(names) if index not in used]
        gone = sum(int((one.crowd & ~np.isin(one.labels, used)).sum()) for one in boxes)
        told.append(
            f"nothing is of class {', '.join(unused)}: left out"
            + (f", with {gone} crowd{'s' if gone > 1 else ''}, whose places are background" if gone else "")
        )
        number = np.full(len(names), -1)
        number[used] = np.arange(len(used))
        found = {
            part: Part(one.images, targets.renumbered(number)) for (part, one), targets in zip(found.items(), boxes)
        }
    told.append(f"an image holds at most {most} boxes: all are padded to so many")
    empty = sum(not one.boxes for images in parts.values() for one in images)
    if empty:
        told.append(f"{empty} image{'s show' if empty > 1 else ' shows'} no object, which is learned, too")
    crowds = sum(int((one.crowd & np.isin(one.labels, used)).sum()) for one in boxes)
    if crowds:
        told.append(f"{plural(crowds, 'crowd')} of objects that are not told apart: what lies in them "
                    "counts for nothing")  # fmt: skip
    return Listing(parts=found, class_names=tuple(names[index] for index in used), said=tuple(told))
