"""Sizes of images: one number of pixels where they are square, else height and width."""

from __future__ import annotations

from collections.abc import Sequence

#: Pixels a side, or (height, width).
ImageSize = int | tuple[int, int]


def pair(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width, from one number or from both."""
    if isinstance(image_size, int):
        return image_size, image_size
    height, width = image_size
    return height, width


def either(image_size: int | Sequence[int]) -> ImageSize:
    """One number if height and width are equal, so that a size is written, hashed and stored in one way only."""
    height, width = pair(image_size)
    return height if height == width else (height, width)


def pixels(image_size: int | Sequence[int]) -> int:
    """The number of pixels in one channel."""
    height, width = pair(image_size)
    return height * width


def shown(image_size: int | Sequence[int]) -> str:
    """The size as cameras and screens state it, width first: ``240x180 px``; ``32 px`` if it is square."""
    height, width = pair(image_size)
    return f"{height} px" if height == width else f"{width}x{height} px"
