"""Values of a mask's pixels: numbers of classes, or colours that have names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from chattn_nas.data.decoding import Reading, cropped
from chattn_nas.errors import DataError

#: The number of pixels that count for nothing, and what a colour of such pixels is called.
VOID, VOID_NAME = 255, "void"
#: Number of colours that have no name.
UNNAMED = 254
#: Formats that keep no number as it was.
LOSSY = ("JPEG", "MPO")
Mask = NDArray[np.uint8]


class ColouredError(ValueError):
    """A mask holds colours, and the settings name none.

    Attributes:
        codes: The colours that it holds, ``red << 16 | green << 8 | blue``.
    """

    def __init__(self, words: str, codes: NDArray[np.uint32]) -> None:
        super().__init__(words)
        self.codes = codes


@dataclass(frozen=True)
class Colours:
    """The colours of masks and their classes.

    Attributes:
        names: Names of the classes.
        table: Class number of every colour ``red << 16 | green << 8 | blue``.
    """

    names: tuple[str, ...]
    table: Mask = field(repr=False)

    def numbers(self, mask: Image.Image, called: str) -> Mask:
        """The class numbers of a mask, (H, W).

        Raises:
            ValueError: A colour has no name.
        """
        pixels = np.asarray(mask.convert("RGB"))
        numbers = self.table[_codes(pixels)]
        if (numbers == UNNAMED).any():
            row, column = np.argwhere(numbers == UNNAMED)[0]
            raise ValueError(
                f"its mask {called} holds {tuple(pixels[row, column].tolist())} at x {column}, y {row}, which "
                f"data.options: colours does not name ({VOID_NAME} names what counts for nothing)"
            )
        return numbers


def _codes(pixels: Mask) -> NDArray[np.uint32]:
    """One number per colour, from pixels (H, W, 3)."""
    red, green, blue = np.moveaxis(pixels.astype(np.uint32), -1, 0)
    codes: NDArray[np.uint32] = red << 16 | green << 8 | blue
    return codes


def colours_of(given: Any) -> Colours:
    """Read the spec's ``{name: [red, green, blue]}`` or, for grey masks, ``{name: number}``.

    Raises:
        DataError: It is neither.
    """
    names = list[str]()
    table = np.full(2**24, UNNAMED, np.uint8)
    for name, colour in given.items() if isinstance(given, Mapping) else ():
        sides = [colour] * 3 if isinstance(colour, int) else colour
        whole = isinstance(sides, list) and all(type(one) is int and 0 <= one <= 255 for one in sides)
        if not whole or len(sides) != 3:
            raise DataError(
                f"data.options: colours of {name} is [red, green, blue] or one number, 0 to 255, not {colour!r}",
                where=("options",),
            )
        place = sides[0] << 16 | sides[1] << 8 | sides[2]
        if table[place] != UNNAMED:
            raise DataError(f"data.options: colours names {colour} twice", where=("options",))
        table[place] = VOID if name == VOID_NAME else len(names)
        if name != VOID_NAME:
            names.append(str(name))
    if not 2 <= len(names) < UNNAMED:
        raise DataError(
            "data.options: colours names two classes or more, as in {road: [128, 64, 128], sky: [70, 130, 180]}, not "
            f"{given}",
            where=("options",),
        )
    return Colours(tuple(names), table)


def numbers_of(mask: Image.Image, called: str, colours: Colours | None = None, *, lossless: bool = True) -> Mask:
    """The number of a class per pixel, (H, W).

    A palette only colours the numbers, which count; grey that was saved as a colour image is still grey.

    Raises:
        ValueError: The mask holds something else.
    """
    if mask.format in LOSSY or (mask.format == "WEBP" and not lossless):
        kind = "a lossy WebP" if mask.format == "WEBP" else "a JPEG"
        raise ValueError(f"its mask {called} is {kind}, which blurs numbers at every border: masks are PNG files")
    if colours is not None:
        return colours.numbers(mask, called)
    held = np.asarray(mask)
    if held.ndim == 3:
        held = held[..., :1] if mask.mode in ("LA", "PA") else held[..., :3]
        if (held != held[..., :1]).any():
            row, column = np.argwhere((held != held[..., :1]).any(2))[0]
            raise ColouredError(
                f"its mask {called} holds colours, such as {tuple(held[row, column].tolist())}, not the number of a "
                "class per pixel (index PNG): data.options: {colours: {name: [red, green, blue]}} names them",
                np.unique(_codes(held)),
            )
        held = held[..., 0]
    return whole_numbers(held, called)


def whole_numbers(held: NDArray[Any], called: str) -> Mask:
    """The same from an array of numbers (H, W).

    Raises:
        ValueError: They are no numbers of classes.
    """
    if held.dtype.kind not in "biu" or held.min(initial=0) < 0 or held.max(initial=0) > VOID:
        raise ValueError(
            f"its mask {called} holds {held.dtype} from {held.min():g} to {held.max():g}, not numbers of classes "
            f"(0, 1, 2, ...; {VOID} counts for nothing)"
        )
    return held.astype(np.uint8)


def fitted_mask(numbers: Mask, image: tuple[int, int], reading: Reading) -> Mask:
    """Resize a mask (height, width) like its image; padding is void.

    Raises:
        ValueError: It is not of the image's size (width, height).
    """
    mask = Image.fromarray(numbers)
    if mask.size != image:
        raise ValueError(f"its mask is {'x'.join(map(str, mask.size))} px, the image {'x'.join(map(str, image))}")
    size = reading.size[::-1]
    if reading.resize == "crop":
        mask = cropped(mask, reading.size)
    elif reading.resize == "pad" and mask.size != size:  # by Pillow, as its image: they lie on each other
        return np.asarray(ImageOps.pad(mask, size, Image.Resampling.NEAREST, color=VOID))
    return np.asarray(mask.resize(size, Image.Resampling.NEAREST))
