"""Normalisation and augmentation of whole batches on the training device."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from chattn_nas.data.tensors import Augmentation


class Statistics(Protocol):
    """Mean and standard deviation of a data set's channels, on the scale 0 to 1."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel."""

    @property
    def std(self) -> tuple[float, ...]:
        """Per channel."""


class Normalize:
    """uint8 images (B, C, H, W) to float32 of zero mean and unit deviation per channel, in channels_last."""

    def __init__(self, data: Statistics, device: torch.device | str) -> None:
        mean, std = (torch.tensor(v, device=device).reshape(1, -1, 1, 1) for v in (data.mean, data.std))
        self.scale = 1 / (255 * std)
        self.shift = -mean / std

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return torch.addcmul(self.shift, images.contiguous(memory_format=torch.channels_last).float(), self.scale)


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Random crops out of a zero-padded border, and horizontal flips, one draw per image; then what else is asked for.

    Args:
        images: (B, C, H, W), any dtype.
        augmentation: What to do.
        generator: Draws offsets and flips, on the device of ``images``.
    """
    batch, _, height, width = images.shape
    device, padding = images.device, augmentation.crop_padding
    rows = torch.arange(height, device=device).expand(batch, -1)
    columns = torch.arange(width, device=device).expand(batch, -1)
    if augmentation.flip:
        flip = torch.rand(batch, 1, device=device, generator=generator) < 0.5
        columns = torch.where(flip, width - 1 - columns, columns)
    if padding:
        images = F.pad(images, (padding,) * 4)
        offsets = torch.randint(0, 2 * padding + 1, (2, batch, 1), device=device, generator=generator)
        rows, columns = rows + offsets[0], columns + offsets[1]
    if padding or augmentation.flip:
        index = torch.arange(batch, device=device)[:, None, None]
        images = images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return images if augmentation.further is None else augmentation.further(images, generator)
