"""A data set as tensors on the training device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TensorSet:
    """Images (N, C, H, W) uint8 and labels (N,) int64, on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> TensorSet:
        return TensorSet(self.images[index], self.labels[index])

    def to(self, device: torch.device | str) -> TensorSet:
        """The same set on another device."""
        return TensorSet(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is done to training batches: padded random crops and horizontal flips."""

    crop_padding: int = 0
    flip: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """What is known of a data set, wherever its images lie.

    Attributes:
        num_classes, in_chans, image_size: What the images and labels have.
        mean, std: Per channel of the training images scaled to 0..1.
        class_names: By label.
        augmentation: Augmentation of training batches.
    """

    num_classes: int
    in_chans: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    augmentation: Augmentation


@dataclass(frozen=True, kw_only=True, slots=True)
class Data(Images):
    """What a search sees of a data set: training and validation images, never the test set.

    Attributes:
        train, validation: Disjoint.
    """

    train: TensorSet
    validation: TensorSet


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images (N, C, H, W), on the scale 0..1.

    From a histogram of the 256 values: exact, and without a copy of the images in floating point.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in range(images.shape[1]):
        share = torch.bincount(images[:, channel].flatten().cpu(), minlength=256).double()
        share /= share.sum()
        mean = (share * values).sum()
        means.append(float(mean))
        deviations.append(max(float((share * (values - mean).square()).sum().sqrt()), 1e-3))
    return tuple(means), tuple(deviations)
