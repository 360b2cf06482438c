"""A data set in the form that training uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chattn_nas.image_size import ImageSize

#: Most bytes that are counted for mean and deviation; of larger sets, images spread over them are used.
COUNTED = 2**30


@dataclass(frozen=True, slots=True)
class TensorSet:
    """uint8 images (N, C, H, W) and targets on one device: labels int64 (N,), or presence of every class (N, K)."""

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
    """Like :class:`TensorSet`, but images stay in the cache on disk, and only batches reach the device.

    Attributes:
        held: Images of one or more parts, each uint8 (N, C, H, W), mapped.
        rows: Indices of the images, (n,), on the CPU; the second part's indices follow those of the first.
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
        """All images in memory, on the CPU."""
        return self.read(torch.arange(len(self)))

    def read(self, index: Tensor) -> Tensor:
        """Read images (B, C, H, W) onto the CPU."""
        rows = self.rows[index.cpu().numpy()]
        if len(self.held) == 1:
            return torch.from_numpy(self.held[0][rows])
        images = np.empty((len(rows), *self.shape), np.uint8)
        first = 0
        for held in self.held:
            within = (rows >= first) & (rows < first + len(held))
            images[within] = held[rows[within] - first]
            first += len(held)
        return torch.from_numpy(images)

    def __getitem__(self, index: Tensor) -> TensorSet:
        device = self.labels.device
        return TensorSet(self.read(index).to(device), self.labels[index.to(device)])

    def to(self, device: torch.device | str) -> MappedSet:
        """This set with its targets on another device."""
        return MappedSet(self.held, self.rows, self.labels.to(device))


ImageSet = TensorSet | MappedSet


def joined(first: ImageSet, second: ImageSet) -> ImageSet:
    """Join two sets in place."""
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
        further: A function for uint8 images (B, C, H, W), applied after them; it draws from the generator only.
    """

    crop_padding: int = 0
    flip: bool = False
    further: Further | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """Facts about a data set, wherever its images are.

    Attributes:
        num_classes, in_chans, image_size: Properties of images and labels.
        mean, std: Per channel, of the training images scaled to 0..1.
        class_names: Names of the classes by label.
        augmentation: Augmentation of training batches.
        multilabel: Whether targets are the presence of every class.
        metric: The metric that scores networks.
        class_weights: Class weights of the loss; for several labels per image those of presence.
        balanced: Whether every class is drawn equally often.
        value_range: Values of black and white, if images have more than eight bits.
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
    """A data set for a search: training and validation images, never the test set.

    Attributes:
        train, validation: The two disjoint sets of images.
    """

    train: ImageSet
    validation: ImageSet


def channel_statistics(images: Any, rows: NDArray[np.int64] | None = None) -> tuple[tuple[float, ...], ...]:
    """Mean and standard deviation per channel of uint8 images (N, C, H, W), on the scale 0..1.

    They come from a histogram of the 256 values: exact, and without a floating-point copy of the images. For sets
    larger than 1 GiB, images spread evenly over them are used.

    Args:
        images: A tensor, or an array that may lie on disk.
        rows: Indices of images to use; all by default.
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
