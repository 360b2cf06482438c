"""Data sets whose items have more than a label: boxes around objects, a mask, or the picture in high resolution.

The target of the first item decides: a mapping with ``boxes`` and ``labels``, as torchvision's detectors take it;
numbers (H, W) of the image's size; or a picture that is 2, 3 or 4 times as large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chattn_nas.data.boxes import Box
from chattn_nas.data.decoding import Reading, decode
from chattn_nas.data.pictures import Items, Listing, Part, Raw
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.boxed import ImageBoxes, listing_of_boxes, refuse_crop
from chattn_nas.data.sources.mask_values import VOID, fitted_mask, numbers_of, whole_numbers
from chattn_nas.data.sources.patches import SCALES
from chattn_nas.errors import DataError
from chattn_nas.plural import plural

#: Parts of a set: called with an index, its length.
Sets = Mapping[str, Any]


def listing_of_targets(
    sets: Sets, called: str, settings: DataSettings, *, said: tuple[str, ...] = (), threads: bool = True
) -> Listing | None:
    """List the parts of data sets with such targets; ``None`` if the targets are labels.

    Args:
        sets: Data sets by part whose items are pairs of an image and its target.
        called: The set's name in messages.
        settings: Settings with ``resize``.
        said: Further sentences for the user.
        threads: Whether items may be read from several threads at once.

    Raises:
        DataError: No task takes such targets.
    """
    item = sets["train"][0] if len(sets["train"]) else None
    if not isinstance(item, tuple | list) or len(item) < 2:
        return None
    target = item[1]
    images, targets = (
        {part: Items(partial(_of, data_set, side), np.arange(len(data_set)), f"{called}, {part}")
         for part, data_set in sets.items()}
        for side in (0, 1)
    )  # fmt: skip
    names = getattr(sets["train"], "classes", None)
    if isinstance(target, Mapping):
        objects = {
            part: [
                _image_boxes_of(data_set[at][1], f"item {at} of {called}, {part}", names) for at in range(len(data_set))
            ]
            for part, data_set in sets.items()
        }
        return listing_of_objects(images, objects, called, settings, names=names, said=said, threads=threads)
    size = _size(target)
    if size is None:
        return None
    image = _size(item[0])
    if size == image:
        if type(sets["train"]).__module__.startswith("torchvision."):  # its classes are those of whole images
            names = None
        return listing_of_masks(images, targets, called, names=names, said=said, threads=threads)
    scale = next((one for one in SCALES if image and size == (one * image[0], one * image[1])), None)
    if scale is None:
        raise DataError(
            f"the target of item 0 of {called} is {_px(size)} and its image {_px(image)}: a mask is as large as its "
            "image, a picture in high resolution 2, 3 or 4 times as large",
            where=("dataset",),
        )
    parts = {part: Part(images[part], ItemPictures(one, scale)) for part, one in targets.items()}
    return Listing(parts=parts, class_names=(), said=(*said, f"targets are {scale} times as large as their images"),
                   threads=threads)  # fmt: skip


def listing_of_objects(
    images: Mapping[str, Items], objects: Mapping[str, Sequence[ImageBoxes]], called: str, settings: DataSettings,
    *, names: Sequence[str] | None, said: Sequence[str], threads: bool,
) -> Listing:  # fmt: skip
    """List parts whose targets are boxes in pixels.

    Raises:
        DataError: There is no box, or ``resize`` would cut some.
    """
    refuse_crop(settings)
    most = max((box.label for each in objects.values() for one in each for box in one.boxes), default=0)
    return listing_of_boxes(
        images, objects, list(map(str, names)) if names is not None else [str(one) for one in range(most + 1)],
        root=called, said=said, threads=threads, word="box", shares=False, outside="fail",
        way="cut it at the border where it is made",
    )  # fmt: skip


def listing_of_masks(
    images: Mapping[str, Items], masks: Mapping[str, Items], called: str,
    *, names: Sequence[str] | None, said: tuple[str, ...], threads: bool,
) -> Listing:  # fmt: skip
    """List parts whose targets are masks.

    Raises:
        DataError: They hold a single class.
    """
    targets = {part: ItemMasks(one) for part, one in masks.items()}
    if names is None:
        names = list(map(str, range(1 + max(one.largest() for one in targets.values()))))
    if len(names) < 2:
        raise DataError(
            f"the masks of {called} hold one class, and {VOID} counts for nothing: there is nothing to tell apart",
            where=("dataset",),
        )
    parts = {part: Part(images[part], one) for part, one in targets.items()}
    return Listing(parts=parts, class_names=tuple(map(str, names)), said=said, threads=threads)


def image_boxes(
    corners: Any, labels: Any, place: str, *, crowd: Any = None, names: Sequence[str] | None = None
) -> ImageBoxes:
    """The boxes of one image.

    Args:
        corners: (n, 4): left, top, right, bottom in pixels.
        labels: (n,) numbers of classes, from 0.
        place: The image's name.
        crowd: (n,), which boxes are ignored; none by default.
        names: Names of the classes.

    Raises:
        DataError: The boxes make no sense.
    """
    try:
        boxes, kinds = np.asarray(corners, np.float64).reshape(-1, 4), np.asarray(labels).reshape(-1)
        crowds = np.zeros(len(kinds), bool) if crowd is None else np.asarray(crowd).astype(bool).reshape(-1)
    except (ValueError, TypeError):
        raise DataError(f"{place}: boxes are numbers (n, 4), with a label each", where=("dataset",)) from None
    if not len(boxes) == len(kinds) == len(crowds):
        raise DataError(
            f"{place} has {plural(len(boxes), 'box')} and {plural(len(kinds), 'label')}", where=("dataset",)
        )
    if len(kinds) and kinds.dtype.kind not in "iu":
        raise DataError(f"{place}: labels of boxes are numbers of classes, not {kinds.dtype}", where=("dataset",))
    for number, (box, label) in enumerate(zip(boxes, kinds.tolist())):
        if not np.isfinite(box).all() or (box[2:] <= box[:2]).any():
            raise DataError(
                f"{place}, box {number}: from ({box[0]:g}, {box[1]:g}) to ({box[2]:g}, {box[3]:g}) there is nothing; "
                "a box is left, top, right, bottom in pixels",
                where=("dataset",),
            )
        if label < 0 or (names is not None and label >= len(names)):
            many = "classes are numbers from 0 on" if names is None else f"there are {len(names)}, from 0 on"
            raise DataError(f"{place}, box {number}: there is no class {label}: {many}", where=("dataset",))
    rows = zip(boxes.tolist(), kinds.tolist(), crowds.tolist())
    return ImageBoxes(file=place, boxes=[Box((a, b, c, d), label, number, aside)
                                   for number, ((a, b, c, d), label, aside) in enumerate(rows)])  # fmt: skip


def _image_boxes_of(target: Any, place: str, names: Sequence[str] | None) -> ImageBoxes:
    if not isinstance(target, Mapping) or not {"boxes", "labels"} <= target.keys():
        given = ", ".join(map(str, target)) if isinstance(target, Mapping) else type(target).__name__
        raise DataError(
            f"the target of {place} must hold boxes (n, 4) and labels (n,), not {given}", where=("dataset",)
        )
    return image_boxes(target["boxes"], target["labels"], place, crowd=target.get("iscrowd"), names=names)


@dataclass(frozen=True)
class _Opened:
    """Targets that are pictures of one part."""

    items: Items

    def __len__(self) -> int:
        return len(self.items)

    def take(self, index: NDArray[np.int64]) -> Self:
        """Some of them."""
        return replace(self, items=self.items.take(index))


class ItemMasks(_Opened):
    """Masks as PIL images or arrays (H, W) of the numbers of classes."""

    def read(self, index: int, image: tuple[int, int], reading: Reading) -> NDArray[Any]:
        """Read a mask as uint8 (H, W); padding is void.

        Raises:
            ValueError: It is no mask, or not of the image's size.
        """
        return fitted_mask(self._numbers(index), image, reading)

    def largest(self) -> int:
        """The largest class of all."""
        highest = 0
        for index in range(len(self)):
            with suppress(OSError, ValueError):  # it is told as bad when its turn comes
                numbers = self._numbers(index)
                highest = max(highest, int(numbers[numbers != VOID].max(initial=0)))
        return highest

    def _numbers(self, index: int) -> NDArray[np.uint8]:
        raw, called = self.items.open(index)[0], self.items.name(index)
        return numbers_of(raw, called) if isinstance(raw, Image.Image) else whole_numbers(raw[..., 0], called)


@dataclass(frozen=True)
class ItemPictures(_Opened):
    """Pictures in high resolution."""

    scale: int

    def read(self, index: int, image: tuple[int, int], reading: Reading) -> NDArray[Any]:
        """Read a picture as uint8 (C, scale H, scale W).

        Raises:
            ValueError: It does not have ``scale`` times the size of its image, or the image has another size than
                ``image_size``.
        """
        raw: Raw = self.items.open(index)[0]
        size = _size(raw)
        if image[::-1] != reading.size:
            raise ValueError(f"is {_px(image[::-1])}, not {_px(reading.size)}: a picture for super-resolution is not "
                             "resized (data.image_size)")  # fmt: skip
        large = (self.scale * reading.size[0], self.scale * reading.size[1])
        if size != large:
            raise ValueError(f"its picture in high resolution is {_px(size)}, not {_px(large)}")
        return decode(raw, replace(reading, size=large), self.items.name(index))[0]


def _of(data_set: Any, side: int, index: int) -> Any:
    return data_set[index][side]


def _size(picture: Any) -> tuple[int, int] | None:
    """Height and width of Pillow's image, an array (H, W) or (H, W, C), or a tensor (C, H, W)."""
    if isinstance(picture, Image.Image):
        return picture.height, picture.width
    shape: tuple[int, ...] = tuple(getattr(picture, "shape", ()))
    if len(shape) not in (2, 3):
        return None
    first = len(shape) == 3 and hasattr(picture, "permute")
    return (shape[1], shape[2]) if first else (shape[0], shape[1])


def _px(size: tuple[int, int] | None) -> str:
    return f"{size[1]}x{size[0]} px" if size else "of no size"
