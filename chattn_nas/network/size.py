"""Sizes of images."""

from __future__ import annotations


def pair(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of images whose size is given as one number or as both."""
    if isinstance(image_size, int):
        return image_size, image_size
    height, width = image_size
    return height, width
