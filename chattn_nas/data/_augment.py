"""Normalisation and augmentation of whole batches on the training device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from chattn_nas.data.boxes import CLASS, CROWD, NOTHING
from chattn_nas.data.tensors import Augmentation

#: Share of a box that must be left in a crop for it to count.
LEAST_SEEN = 0.25


class Statistics(Protocol):
    """Mean and standard deviation of a data set's channels, on the scale 0 to 1."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel."""

    @property
    def std(self) -> tuple[float, ...]:
        """Per channel."""


class Normalize:
    """Turns uint8 images (B, C, H, W) into float32 with zero mean and unit deviation per channel, channels_last."""

    def __init__(self, data: Statistics, device: torch.device | str) -> None:
        mean, std = (torch.tensor(v, device=device).reshape(1, -1, 1, 1) for v in (data.mean, data.std))
        self.scale = 1 / (255 * std)
        self.shift = -mean / std

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return torch.addcmul(self.shift, images.contiguous(memory_format=torch.channels_last).float(), self.scale)


@dataclass(frozen=True, slots=True)
class Moves:
    """The random crop and flip of every image in a batch.

    Attributes:
        padding: Pixels of padding around an image, from which crops are taken.
        flip: (B, 1), whether an image is mirrored; ``None`` if none may be.
        offsets: (2, B, 1), first row and column of every crop; ``None`` if all are in the middle.
    """

    padding: int
    flip: Tensor | None
    offsets: Tensor | None


def draw_moves(count: int, device: torch.device, augmentation: Augmentation, generator: torch.Generator) -> Moves:
    """Draw a move for every image."""
    flip = offsets = None
    padding = augmentation.crop_padding
    if augmentation.flip:
        flip = torch.rand(count, 1, device=device, generator=generator) < 0.5
    if padding:
        offsets = torch.randint(0, 2 * padding + 1, (2, count, 1), device=device, generator=generator)
    return Moves(padding, flip, offsets)


def moved(images: Tensor, moves: Moves) -> Tensor:
    """Move images (B, C, H, W) of any dtype; pixels from outside are zero."""
    batch, _, height, width = images.shape
    device = images.device
    rows = torch.arange(height, device=device).expand(batch, -1)
    columns = torch.arange(width, device=device).expand(batch, -1)
    if moves.flip is not None:
        columns = torch.where(moves.flip, width - 1 - columns, columns)
    if moves.offsets is not None:
        images = F.pad(images, (moves.padding,) * 4)
        rows, columns = rows + moves.offsets[0], columns + moves.offsets[1]
    if moves.flip is not None or moves.offsets is not None:
        index = torch.arange(batch, device=device)[:, None, None]
        images = images.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return images


def moved_boxes(boxes: Tensor, moves: Moves, size: tuple[int, int]) -> Tensor:
    """Move boxes (B, M, 6), in the form of ``data.boxes``, with their images.

    They are cut at the border. A box with less than a quarter left becomes an ignored region; one that is gone leaves
    an empty row.

    Args:
        boxes: float32.
        moves: Moves of their images.
        size: Height and width.
    """
    height, width = size
    left, top, right, bottom = boxes[..., :4].unbind(-1)
    if moves.offsets is not None:
        down, along = (moves.offsets - moves.padding).to(boxes.dtype)
        left, right, top, bottom = left - along, right - along, top - down, bottom - down
    if moves.flip is not None:
        left, right = torch.where(moves.flip, width - right, left), torch.where(moves.flip, width - left, right)
    whole = (right - left) * (bottom - top)
    left, right, top, bottom = (
        left.clamp(0, width),
        right.clamp(0, width),
        top.clamp(0, height),
        bottom.clamp(0, height),
    )
    seen = (right - left) * (bottom - top)
    label = torch.where(seen > 0, boxes[..., CLASS], NOTHING)
    crowd = torch.where((seen > 0) & (seen < LEAST_SEEN * whole), 1.0, boxes[..., CROWD])
    return torch.stack([left, top, right, bottom, label, crowd], -1)


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Augment a batch: random crops from a zero-padded border, horizontal flips, then the further augmentation.

    Args:
        images: (B, C, H, W), any dtype.
        augmentation: The augmentation.
        generator: Draws offsets and flips, on the device of ``images``.
    """
    images = moved(images, draw_moves(len(images), images.device, augmentation, generator))
    return images if augmentation.further is None else augmentation.further(images, generator)
