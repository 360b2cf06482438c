"""A network's answers on a few images, as a report shows them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shown:
    """One image.

    Attributes:
        pictures: Pictures side by side, each with its title: uint8 (3, H, W).
        said: The network's answer, in words.
        right: Whether the answer is right; ``None`` if it is neither right nor wrong.
    """

    pictures: tuple[tuple[str, Tensor], ...]
    said: str = ""
    right: bool | None = None


def coloured(images: Tensor) -> Tensor:
    """Convert uint8 images (B, C, H, W) to RGB; if there are neither 1 nor 3 channels, show the first."""
    return images if images.shape[1] == 3 else images[:, :1].expand(-1, 3, -1, -1)


def painted(classes: Tensor, palette: list[int]) -> Tensor:
    """Paint class numbers (H, W) in the colours of a palette, uint8 (3, H, W); negative ones are grey."""
    colours = torch.tensor([*palette, 128, 128, 128], dtype=torch.uint8).view(-1, 3)
    return colours[classes.long().where(classes >= 0, torch.tensor(len(colours) - 1))].permute(2, 0, 1)


def palette(classes: int) -> list[int]:
    """Colours of the classes, as a flat list of red, green and blue, as in Pascal VOC."""
    colours = []
    for index in range(1, classes + 1):
        colour = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                colour[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
        colours += colour
    return colours
