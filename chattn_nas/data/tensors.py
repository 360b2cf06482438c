"""A data set as the training sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chattn_nas.image_size import ImageSize

#: At most so many bytes are counted for mean and deviation; larger sets are counted on images spread over them.
COUNTED = 2**30


@dataclass(frozen=True, slots=True)
class TensorSet:
    """Images (N, C, H, W) uint8 and targets on one device: labels (N,) int64, or the presence of every class (N, K)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> TensorSet:
        return TensorSet(self.images[index], self.labels[index])

    def to(self, device: torch.device | str) -> TensorSet:
        """This set on another device."""
        return TensorSet(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, slots=True)
class MappedSet:
    """As :class:`TensorSet`, with images that stay in the cache on disk; only their batches reach the device.

    Attributes:
        held: Images of one or more parts, each (N, C, H, W) uint8, mapped.
        rows: Which of them, (n,), on the CPU; those of the second part are counted on from the first.
        labels: Their targets, (n, ...), on the device.
    """

    held: tuple[NDArray[np.uint8], ...]
    rows: NDArray[np.int64]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, (C, H, W)."""
        return self.held[0].shape[1:]

    @property
    def images(self) -> Tensor:
        """All of them in memory, on the CPU."""
        return self.read(torch.arange(len(self)))

    def read(self, index: Tensor) -> Tensor:
        """Images (B, C, H, W) on the CPU."""
        rows = self.rows[index.cpu().numpy()]
        if len(self.held) == 1:
            return torch.from_numpy(self.held[0][rows])
        found = np.empty((len(rows), *self.shape), np.uint8)
        first = 0
        for held in self.held:
            mine = (rows >= first) & (rows < first + len(held))
            found[mine] = held[rows[mine] - first]
            first += len(held)
        return torch.from_numpy(found)

    def __getitem__(self, index: Tensor) -> TensorSet:
        device = self.labels.device
        return TensorSet(self.read(index).to(device), self.labels[index.to(device)])

    def to(self, device: torch.device | str) -> MappedSet:
        """This set with its targets on another device."""
        return MappedSet(self.held, self.rows, self.labels.to(device))


ImageSet = TensorSet | MappedSet


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """Both in one, where they lie."""
    labels = torch.cat([first.labels, second.labels])
    if isinstance(first, TensorSet) and isinstance(second, TensorSet):
        return TensorSet(torch.cat([first.images, second.images]), labels)
    assert isinstance(first, MappedSet)
    assert isinstance(second, MappedSet)
    before = sum(map(len, first.held))
    return MappedSet((*first.held, *second.held), np.concatenate([first.rows, second.rows + before]), labels)


#: Done to (B, C, H, W) uint8 images, drawing from the generator alone.
Further = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The augmentation of training batches.

    Attributes:
        crop_padding, flip: Padded random crops and horizontal flips.
        further: What is done to (B, C, H, W) uint8 images after them, drawing from the generator alone.
    """

    crop_padding: int = 0
    flip: bool = False
    further: Further | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """Facts of a data set, wherever its images are.

    Attributes:
        num_classes, in_chans, image_size: What the images and labels have.
        mean, std: Per channel of the training images scaled to 0..1.
        class_names: By label.
        augmentation: Augmentation of training batches.
        multilabel: Targets are the presence of every class.
        metric: What networks are scored by.
        class_weights: Class weights of the loss; for several labels per image those of their presence.
        balanced: Whether every class is drawn as often.
        value_range: Numbers that were read as black and white, where images have more than eight bits.
    """

    num_classes: int
    in_chans: int
    image_size: ImageSize
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    augmentation: Augmentation
    multilabel: bool = False
    metric: str = "accuracy"
    class_weights: tuple[float, ...] | None = None
    balanced: bool = False
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Data(Images):
    """A data set as a search sees it: training and validation images, never the test set.

    Attributes:
        train, validation: Disjoint.
    """

    train: ImageSet
    validation: ImageSet


def channel_statistics(images: Any, rows: NDArray[np.int64] | None = None) -> tuple[tuple[float, ...], ...]:
    """Mean and standard deviation per channel of uint8 images (N, C, H, W), on the scale 0..1.

    From a histogram of the 256 values: exact, and without a copy of the images in floating point. Of sets larger than
    1 GiB, from images spread evenly over them.

    Args:
        images: A tensor, or an array that may lie on disk.
        rows: Which of them; all by default.
    """
    rows = np.arange(len(images)) if rows is None else rows
    each = int(np.prod(images.shape[1:]))
    if len(rows) * each > COUNTED:
        rows = rows[np.linspace(0, len(rows) - 1, COUNTED // each).astype(np.int64)]
    counts = np.zeros((images.shape[1], 256), np.int64)
    for start in range(0, len(rows), 1024):
        part = images[rows[start : start + 1024]]
        part = np.asarray(part.cpu() if isinstance(part, Tensor) else part)
        for channel in range(part.shape[1]):
            counts[channel] += np.bincount(part[:, channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    shares = counts / counts.sum(1, keepdims=True)
    means = shares @ values
    deviations = [max(float(np.sqrt(share @ (values - mean) ** 2)), 1e-3) for share, mean in zip(shares, means)]
    return tuple(map(float, means)), tuple(deviations)
