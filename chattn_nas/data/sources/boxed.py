"""Makes listings of images with boxes, in the same way for all sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.boxes import SLACK, Box, Boxes
from chattn_nas.data.pictures import Files, Found, Listing, Part, Pictures
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.patches import LOOKED, size_of
from chattn_nas.data.sources.place import opened, path_of
from chattn_nas.data.tree import Entry, Tree
from chattn_nas.errors import DataError
from chattn_nas.plural import first_of, plural

OUTSIDE = ("fail", "clip")


#: What four numbers may mean, and which corners that gives.
FORMS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "left, top, width, height": lambda box: np.hstack([box[:, :2], box[:, :2] + box[:, 2:]]),
    "left, top, right, bottom": lambda box: box,
    "middle x, middle y, width, height": lambda box: np.hstack(
        [box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2]
    ),
}
CORNER, CORNERS, MIDDLE = FORMS
#: Boxes, and the share of them that must reach beyond their image, before another form is looked for.
FEW, BEYOND = 4, 0.1


@dataclass(kw_only=True)
class ImageBoxes:
    """The boxes of one image, as read from the source.

    Attributes:
        file: The file with the boxes.
        size: Width and height according to it; 0 if it does not say.
        boxes: The boxes of its objects.
    """

    file: str
    size: tuple[int, int] = (0, 0)
    boxes: list[Box] = field(default_factory=list)


@dataclass(kw_only=True)
class Boxed(ImageBoxes):
    """The same, for an image in a file.

    Attributes:
        entry: The image's file.
    """

    entry: Entry


class Flat:
    """Boxes without width or height: refused, or counted if the settings say to skip bad files."""

    def __init__(self, settings: DataSettings) -> None:
        self.skip, self.skipped = settings.bad_files == "skip", list[str]()

    def count(self, problem: str) -> None:
        """Count a box.

        Raises:
            DataError: The settings do not say to skip it.
        """
        if not self.skip:
            raise DataError(f"{problem}; remove it, or leave such boxes out with data.bad_files: skip", where=("path",))
        self.skipped.append(problem)

    def said(self) -> list[str]:
        """A sentence about them for the user."""
        if not self.skipped:
            return []
        many = "1 box is" if len(self.skipped) == 1 else f"{len(self.skipped)} boxes are"
        return [f"{many} left out, such as {min(self.skipped)}"]


def refuse_other_form(images: Sequence[ImageBoxes], called: str, form: str) -> None:
    """Refuse boxes that lie in their images only if their numbers mean something else.

    Args:
        images: Their boxes; those without a size are passed over, unless boxes are shares of them.
        called: Where they come from.
        form: One of :data:`FORMS`: what the numbers mean there. With the middle first they are shares.

    Raises:
        DataError: Many reach beyond their image as they are, and none does in another form.
    """
    shares = form == MIDDLE
    rows = [(box.corners, (1, 1) if shares else one.size) for one in images if shares or all(one.size)
            for box in one.boxes]  # fmt: skip
    if len(rows) < FEW:
        return
    corners, limits = (np.array(column, np.float64) for column in zip(*rows))
    sides = corners[:, 2:] - corners[:, :2]
    given = np.hstack([(corners[:, :2] + corners[:, 2:]) / 2 if shares else corners[:, :2],
                       corners[:, 2:] if form == CORNERS else sides])  # fmt: skip
    slack = SLACK * (0.01 if shares else 1)

    def inside(name: str) -> NDArray[np.bool_]:
        box = FORMS[name](given)
        fits = np.hstack([box[:, 2:] > box[:, :2], box[:, :2] >= -slack, box[:, 2:] <= limits + slack])
        return np.asarray(fits.all(1))

    beyond = int((~inside(form)).sum())
    other = next((name for name in FORMS if name != form and inside(name).all()), None)
    if beyond >= BEYOND * len(rows) and other is not None:
        raise DataError(
            f"{beyond} of the {len(rows)} boxes of {called} reach beyond their image as {form}, the format's "
            f"numbers, and none does as {other}: write them as the format has them",
            where=("path",),
        )


def refuse_other_numbers(tree: Tree, images: Sequence[Boxed], called: str, source: str, form: str) -> None:
    """Refuse boxes in pixels that look like shares, or fit their pictures only in another form.

    Args:
        tree: The files.
        images: The boxes.
        called: The file or folder they are from.
        source: The source's own name.
        form: One of :data:`FORMS`, as the source has it.

    Raises:
        DataError: They are not what the source has.
    """
    if max((max(box.corners) for image in images for box in image.boxes), default=2) <= 1:
        raise DataError(
            f"all boxes of {called} lie in the first pixel of their image: they look like shares; {source} has pixels",
            where=("path",),
        )
    refuse_other_form(_sized(tree, images), called, form)


def _sized(tree: Tree, images: Sequence[Boxed]) -> list[Boxed]:
    """The same images, with the sizes of some pictures where the source tells no image's."""
    drawn = [one for one in images if one.boxes]
    if any(all(one.size) for one in drawn):
        return list(images)
    some = drawn[:: max(1, len(drawn) // LOOKED)]
    return [replace(one, size=size_of(tree, one.entry)) for one in some]


def find_boxed(settings: DataSettings, listing: Callable[[Tree, str, DataSettings], Listing]) -> Found:
    """Find the files of such a source; none is read.

    Args:
        settings: Settings with the path.
        listing: Makes the listing, from the files, the set's name in messages, and the settings.

    Raises:
        DataError: There is no such folder, or options are wrong.
    """
    _check_options(settings)
    path = path_of(settings)
    tree, stamps = opened(path)
    return Found(stamps, lambda: listing(tree, str(path), settings))


def _check_options(settings: DataSettings) -> None:
    """Refuse settings that these sources do not support.

    Raises:
        DataError: An option does not exist, or cropping is requested.
    """
    outside = settings.options.get("outside", "fail")
    if set(settings.options) - {"outside"} or outside not in OUTSIDE:
        raise DataError(
            f"data.options of {settings.dataset} are outside: fail or clip, not {settings.options}",
            where=("options",), value=outside, choices=OUTSIDE,
        )  # fmt: skip
    refuse_crop(settings)


def refuse_crop(settings: DataSettings) -> None:
    """Refuse cropping, which cuts objects.

    Raises:
        DataError: ``resize`` asks for it.
    """
    if settings.resize == "crop":
        raise DataError(
            "data.resize: crop would cut objects away: pad shows the whole image, squash changes its proportions",
            where=("resize",),
        )


def listing_of_boxed(
    tree: Tree, parts: Mapping[str, Sequence[Boxed]], names: Sequence[str], settings: DataSettings,
    *, root: str, said: Sequence[str], **how: Any,
) -> Listing:  # fmt: skip
    """List the images and boxes of every part, for images in files.

    Args:
        tree: The tree with the images.
        parts: The images of every part.
        names: Names of the classes.
        settings: Settings with ``options``.
        root: The place as the user knows it.
        said: How the source was understood.
        how: ``word`` and ``shares`` of :class:`~chattn_nas.data.boxes.Boxes`.

    Raises:
        DataError: There is no box to learn from.
    """
    pictures = {part: Files(tree, [one.entry for one in images]) for part, images in parts.items()}
    how["outside"] = settings.options.get("outside", "fail")
    return listing_of_boxes(pictures, parts, names, root=root, said=said, **how)


def listing_of_boxes(
    pictures: Mapping[str, Pictures], parts: Mapping[str, Sequence[ImageBoxes]], names: Sequence[str],
    *, root: str, said: Sequence[str], threads: bool = True,
    ignored: tuple[str, str] = ("crowd", " of objects that are not told apart"), **how: Any,
) -> Listing:  # fmt: skip
    """List the images and boxes of every part.

    Classes without objects, which exports of annotation tools often contain, are left out.

    Args:
        pictures: The images.
        parts: Their boxes.
        names: Names of the classes.
        root: The place as the user knows it.
        said: How the source was understood.
        threads: Whether images may be opened from several threads at once.
        ignored: What boxes that count for nothing are called, and what is said of them.
        how: Further arguments of :class:`~chattn_nas.data.boxes.Boxes`.

    Raises:
        DataError: There is no box to learn from.
    """
    if not parts.get("train"):
        raise DataError(f"{root} holds no images to train on", where=("path",))
    most = max(len(one.boxes) for images in parts.values() for one in images)
    kept = {
        part: Part(
            pictures[part],
            Boxes.of(
                [one.boxes for one in images], [one.size for one in images], [one.file for one in images],
                most=max(1, most), **how,
            ),
        )
        for part, images in sorted(parts.items(), key=lambda item: item[0] != "train")
        if images
    }  # fmt: skip
    boxes = [part.targets for part in kept.values() if isinstance(part.targets, Boxes)]
    counts = np.sum([one.counts(len(names)) for one in boxes], axis=0)
    if not counts.sum():
        raise DataError(f"the images of {root} show no object: there is no box to learn from", where=("path",))
    sentences = [*said, *_drawn_twice(parts, how["word"])]
    used = [index for index, count in enumerate(counts.tolist()) if count]
    if len(used) < len(names):
        unused = [name for index, name in enumerate(names) if index not in used]
        gone = sum(int((one.crowd & ~np.isin(one.labels, used)).sum()) for one in boxes)
        sentences.append(
            f"nothing is of class {', '.join(unused)}: left out"
            + (f", with {plural(gone, ignored[0])}, whose places are background" if gone else "")
        )
        number = np.full(len(names), -1)
        number[used] = np.arange(len(used))
        kept = {part: Part(one.images, targets.renumbered(number)) for (part, one), targets in zip(kept.items(), boxes)}
    sentences.append(f"an image holds at most {plural(most, 'object')}: all are padded to so many")
    empty = sum(not one.boxes for images in parts.values() for one in images)
    if empty:
        sentences.append(f"{empty} image{'s show' if empty > 1 else ' shows'} no object, which is learned, too")
    crowds = sum(int((one.crowd & np.isin(one.labels, used)).sum()) for one in boxes)
    if crowds:
        sentences.append(f"{plural(crowds, ignored[0])}{ignored[1]}: what lies in them counts for nothing")
    return Listing(
        parts=kept, class_names=tuple(names[index] for index in used), said=tuple(sentences), threads=threads
    )


def _drawn_twice(parts: Mapping[str, Sequence[ImageBoxes]], word: str) -> list[str]:
    """A sentence on boxes with the corners and the class of one before them in the same image."""
    places = []
    for one in (image for images in parts.values() for image in images):
        known: set[tuple[Any, int]] = set()
        for box in one.boxes:
            if (box.corners, box.label) in known:
                places.append(f"{one.file}, {word} {box.at}")
            known.add((box.corners, box.label))
    if not places:
        return []
    many = "a box is" if len(places) == 1 else f"{len(places)} boxes are"
    return [f"beware: {many} drawn twice, each counting as an object of its own: {first_of(places, between='; ')}"]
