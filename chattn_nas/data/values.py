"""Finds the values of black and white in images with more than eight bits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chattn_nas.errors import DataError

Range = tuple[float, float]


class OutOfRangeError(DataError):
    """An image holds values beyond the range of the others."""


def to_uint8(values: NDArray[Any], scale: Range | None) -> NDArray[np.uint8]:
    """Scale values to 0..255; without a range, eight-bit values stay as they are.

    Raises:
        ValueError: Values are not finite.
    """
    if values.dtype == np.uint8 and scale is None:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    low, high = scale if scale is not None else (0.0, 255.0)
    scaled = (values.astype(np.float32) - low) * (255 / (high - low))
    if not np.isfinite(scaled).all():
        raise ValueError("holds numbers that are not finite")
    return scaled.round().clip(0, 255).astype(np.uint8)


def needs_range(dtype: np.dtype[Any]) -> bool:
    """Whether the type of the values does not determine white."""
    return dtype not in (np.uint8, np.bool_)


def bounds(values: NDArray[Any]) -> Range:
    """Smallest and largest finite value."""
    if values.dtype.kind not in "biuf":
        raise DataError(f"images are numbers, not {values.dtype}", where=("path",))
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def guess_range(seen: Iterable[tuple[Range, bool]], called: str) -> Range:
    """The usual range that contains all values seen.

    For integers it is 0 to the largest number of 8, 10, 12, 14, 16 or 32 bits; for fractions 0 to 1, -1 to 1, or 0 to
    255.

    Args:
        seen: Smallest and largest value of some images, and whether they are integers.
        called: The images' name in the error.

    Raises:
        DataError: No usual range does; the message proposes one.
    """
    ranges = list(seen)
    low, high = min(one[0][0] for one in ranges), max(one[0][1] for one in ranges)
    if all(whole for _, whole in ranges):
        if low >= 0:
            for bits in (8, 10, 12, 14, 16, 32):
                if high < 2**bits:
                    return 0.0, float(2**bits - 1)
    elif low >= 0 and high <= 1:
        return 0.0, 1.0
    elif low >= -1 and high <= 1:
        return -1.0, 1.0
    elif low >= 0 and 1 < high <= 255 and high > 16:
        return 0.0, 255.0
    raise DataError(
        f"{called} hold numbers from {low:.6g} to {high:.6g}, and nothing says which is black and which is white: "
        f"data.range: [{low:.6g}, {high:.6g}] would",
        where=("path",),
    )


def check_within(values: NDArray[Any], scale: Range, called: str) -> None:
    """Refuse an image with values beyond the guessed range.

    Raises:
        OutOfRangeError: There are such values.
    """
    low, high = bounds(values)
    if low < scale[0] or high > scale[1]:
        raise OutOfRangeError(
            f"{called} holds numbers from {low:.6g} to {high:.6g}, the others lie within {scale[0]:.6g} to "
            f"{scale[1]:.6g}: say data.range",
            where=("path",),
        )
