"""Boxes around objects as targets: one array for all images, padded to the image that holds most of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: Columns of a target (N, M, 6) float32: left, top, right and bottom in pixels of the image as it is trained on, number
#: of the class (-1 where a row is only padding), and whether the row is a region that counts for nothing (a crowd).
COLUMNS = 6
CLASS, CROWD = 4, 5
NOTHING = -1
#: Pixels of the image as stored that a box may reach over its border: drawing by hand and rounding do so.
SLACK = 1.0
#: What is done with boxes that reach further: ``data.options: {outside: clip}`` cuts them at the border.
Outside = Literal["fail", "clip"]


@dataclass(frozen=True, slots=True)
class Box:
    """One object, as read from its source.

    Attributes:
        corners: Left, top, right, bottom; in pixels, or as shares of the image.
        label: Number of its class.
        at: The number of its line or annotation in the source.
        crowd: Whether it is a region of many objects that cannot be separated, which is ignored.
    """

    corners: tuple[float, float, float, float]
    label: int
    at: int
    crowd: bool = False


@dataclass(frozen=True)
class Boxes:
    """The boxes of many images, as targets to read with them.

    Attributes:
        corners: (T, 4), of all images in order; as in :class:`Box`.
        labels, at, crowd: (T,).
        first: (N + 1,), index of the first box of every image.
        sizes: (N, 2), width and height of every image according to the source; 0 if it does not say.
        files: The file with the boxes, by image.
        word: The unit of ``at``: ``line``, ``annotation``.
        shares: Whether corners are shares of the image.
        most: Number of rows of every target.
        outside: How boxes beyond the image are treated.
        way: How to cut them at the border, for the error.
    """

    corners: NDArray[np.float64]
    labels: NDArray[np.int64]
    at: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    first: NDArray[np.int64]
    sizes: NDArray[np.int64]
    files: Sequence[str]
    word: str = field(kw_only=True)
    shares: bool = field(kw_only=True)
    most: int = field(kw_only=True)
    outside: Outside = field(kw_only=True)
    way: str = field(kw_only=True, default="data.options: {outside: clip} cuts boxes at the border")

    def __len__(self) -> int:
        return len(self.files)

    @classmethod
    def of(
        cls, each: Sequence[Sequence[Box]], sizes: Sequence[tuple[int, int]], files: Sequence[str], **how: Any
    ) -> Boxes:
        """Make this from the boxes of every image."""
        every = [box for boxes in each for box in boxes]
        return cls(
            np.array([box.corners for box in every], np.float64).reshape(-1, 4),
            np.array([box.label for box in every], np.int64),
            np.array([box.at for box in every], np.int64),
            np.array([box.crowd for box in every], np.bool_),
            np.cumsum([0, *map(len, each)]),
            np.array(sizes, np.int64).reshape(-1, 2),
            files,
            **how,
        )

    def take(self, index: NDArray[np.int64]) -> Boxes:
        """The boxes of some images."""
        rows = [np.arange(self.first[one], self.first[one + 1]) for one in index]
        kept = self._rows(np.concatenate([np.empty(0, np.int64), *rows]))
        first = np.cumsum([0, *map(len, rows)])
        return replace(kept, first=first, sizes=self.sizes[index], files=[self.files[one] for one in index])

    def renumbered(self, number: NDArray[np.int64]) -> Boxes:
        """Renumber classes to ``number[label]``; boxes of a class that becomes -1 are dropped."""
        labels = number[self.labels]
        before = np.concatenate([[0], np.cumsum(labels >= 0)])
        return replace(replace(self, labels=labels)._rows(np.flatnonzero(labels >= 0)), first=before[self.first])

    def counts(self, classes: int) -> NDArray[np.int64]:
        """Number of objects per class."""
        return np.bincount(self.labels[~self.crowd], minlength=classes)

    def _rows(self, rows: NDArray[np.int64]) -> Boxes:
        held = {name: getattr(self, name)[rows] for name in ("corners", "labels", "at", "crowd")}
        return replace(self, **held)

    def read(self, index: int, image: tuple[int, int], reading: Any) -> NDArray[np.float32]:
        """(M, 6) float32, see :data:`COLUMNS`.

        Raises:
            ValueError: The image has another size than the source says, or a box reaches beyond it.
        """
        rows = np.arange(self.first[index], self.first[index + 1])
        stated = tuple(self.sizes[index].tolist())
        if stated != (0, 0) and stated != image:
            raise ValueError(f"{self.files[index]} says that the image is {_px(stated)}, but it is {_px(image)}")
        limits = np.array([*image, *image], np.float64)
        corners = self.corners[rows] * (limits if self.shares else 1.0)
        inside = corners.clip(0, limits)
        visible = (inside[:, 2:] > inside[:, :2]).all(1)
        beyond = np.flatnonzero((np.abs(corners - inside).max(1, initial=0) > SLACK) | ~visible)
        if len(beyond) and self.outside == "fail":
            left, top, right, bottom = corners[beyond[0]].round(1).tolist()
            more = f", and {len(beyond) - 1} more of its boxes" if len(beyond) > 1 else ""
            raise ValueError(
                f"{self.files[index]}, {self.word} {self.at[rows[beyond[0]]]}: the box from ({left:g}, {top:g}) to "
                f"({right:g}, {bottom:g}) reaches beyond the image of {_px(image)}{more} ({self.way})"
            )
        target = np.zeros((self.most, COLUMNS), np.float32)
        target[:, CLASS] = NOTHING
        rows, inside = rows[visible], inside[visible]
        scale, shift = fitted(image, reading.size, reading.resize)
        target[: len(rows), :4] = inside * [*scale, *scale] + [*shift, *shift]
        target[: len(rows), CLASS] = self.labels[rows]
        target[: len(rows), CROWD] = self.crowd[rows]
        return target


def fitted(
    image: tuple[int, int], size: tuple[int, int], resize: str
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Scale and offset that map a point (x, y) of an image to the picture of ``size``.

    Args:
        image: Width and height of the image.
        size: Height and width of the picture.
        resize: ``squash`` or ``pad``, as ``PIL.ImageOps.pad`` does it.
    """
    height, width = size
    inner = (width, height)
    if resize == "pad":
        if image[0] / image[1] > width / height:
            inner = (width, max(1, round(image[1] / image[0] * width)))
        else:
            inner = (max(1, round(image[0] / image[1] * height)), height)
    shift = (float(round((width - inner[0]) * 0.5)), float(round((height - inner[1]) * 0.5)))
    return (inner[0] / image[0], inner[1] / image[1]), shift


def are_boxes(targets: NDArray[Any]) -> bool:
    """Whether an array of targets holds boxes."""
    return targets.ndim == 3 and targets.dtype == np.float32 and targets.shape[2] == COLUMNS


def objects(targets: NDArray[np.float32], number: int | None = None) -> NDArray[np.bool_]:
    """Tell which rows of targets are objects, of one class or of any, (N, M)."""
    of_it = targets[..., CLASS] >= 0 if number is None else targets[..., CLASS] == number
    is_object: NDArray[np.bool_] = of_it & (targets[..., CROWD] == 0)
    return is_object


def counted(targets: NDArray[np.float32], classes: int) -> NDArray[np.int64]:
    """Number of objects per class in an array of targets."""
    return np.bincount(targets[objects(targets)][:, CLASS].astype(np.int64), minlength=classes)


def _px(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]} px"
