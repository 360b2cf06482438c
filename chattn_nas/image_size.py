"""Sizes of images: one number of pixels where they are square, else height and width."""

from __future__ import annotations

from collections.abc import Sequence

#: Pixels a side, or (height, width).
ImageSize = int | tuple[int, int]


def pair(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width of images whose size is given as one number or as both."""
    if isinstance(image_size, int):
        return image_size, image_size
    height, width = image_size
    return height, width


def either(image_size: int | Sequence[int]) -> ImageSize:
    """One number where height and width are the same: so that one size is written, hashed and kept in one way."""
    height, width = pair(image_size)
    return height if height == width else (height, width)


def pixels(image_size: int | Sequence[int]) -> int:
    """How many there are in one channel."""
    height, width = pair(image_size)
    return height * width


def shown(image_size: int | Sequence[int]) -> str:
    """As screens and cameras tell it, width first: ``240x180 px``; ``32 px`` of a square."""
    height, width = pair(image_size)
    return f"{height} px" if height == width else f"{width}x{height} px"
