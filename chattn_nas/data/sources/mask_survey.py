"""Looks at all masks of a set for what no single one shows: smoothed numbers, palettes that differ, colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chattn_nas.data.sources.mask_values import VOID, ColouredError, Mask
from chattn_nas.errors import DataError
from chattn_nas.plural import first_of, plural

#: A value whose pixels lie between two others in value and place that often, and this share of all values, are smooth.
#: CamVid's classes have 0.04 at most; smoothed or JPEG-coded copies have 0.2 and more in a third of the values.
BETWEEN, SMOOTH = 0.2, 0.3
#: Colours of a set beyond which they are no classes.
MOST_COLOURS = 64
Palette = dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class Seen:
    """What one mask holds.

    Attributes:
        called: The file.
        pixels: Pixels by value, (256,).
        between: Those whose value lies strictly between the values beside them, or above and below, (256,).
        palette: The colours that its palette gives the values that occur.
    """

    called: str
    pixels: NDArray[np.int64]
    between: NDArray[np.int64]
    palette: Palette = field(default_factory=dict)

    @classmethod
    def of(cls, mask: Image.Image, numbers: Mask, called: str) -> Seen:
        """Look at a mask and its numbers (H, W)."""
        pixels = np.bincount(numbers.ravel(), minlength=256)
        inner, middle = numbers[1:-1, 1:-1], np.zeros(0, np.uint8)
        if inner.size:
            pairs = ((numbers[1:-1, :-2], numbers[1:-1, 2:]), (numbers[:-2, 1:-1], numbers[2:, 1:-1]))
            inside = [(np.minimum(one, two) < inner) & (inner < np.maximum(one, two)) for one, two in pairs]
            middle = inner[inside[0] | inside[1]]
        held = np.array(mask.getpalette("RGB") or [], np.uint8).reshape(-1, 3) if mask.mode == "P" else ()
        used = [value for value in np.flatnonzero(pixels[:VOID]).tolist() if value < len(held)]
        palette = {value: tuple(held[value].tolist()) for value in used}
        return cls(called, pixels, np.bincount(middle, minlength=256), palette)


def values_of(each: Sequence[Seen]) -> NDArray[np.bool_]:
    """Tell which values occur, (256,).

    Raises:
        DataError: These are no numbers of classes.
    """
    _refuse_palettes(each)
    pixels, between = (sum((getattr(one, key) for one in each), np.zeros(256, int)) for key in ("pixels", "between"))
    held: NDArray[np.bool_] = pixels > 0
    smooth, every = np.flatnonzero(between > BETWEEN * pixels).tolist(), int(held.sum())
    if len(smooth) >= max(3, SMOOTH * every):
        raise DataError(
            f"masks hold {plural(every, 'value')}, of which {len(smooth)} ({first_of(smooth)}) lie "
            "mostly at borders, between two others in value and place: smoothing leaves such values (resizing other "
            "than 'nearest', JPEG, soft brushes), and they number no classes: write the masks anew, or round their "
            "values to those that are meant",
            where=("path",),
        )  # fmt: skip
    return held


def _refuse_palettes(each: Iterable[Seen]) -> None:
    """Refuse palettes that give one number several colours: the number then means another class in every file."""
    first: dict[int, tuple[str, tuple[int, ...]]] = {}
    for one in each:
        for value, colour in one.palette.items():
            called, known = first.setdefault(value, (one.called, colour))
            if known != colour:
                raise DataError(
                    f"the palettes of masks differ: {value} is the colour {list(known)} in {called} and {list(colour)} "
                    f"in {one.called}: if colours mean the classes, data.options: {{colours: {{name: [red, green, "
                    "blue]}} names them; if numbers do, write the masks as grey images",
                    where=("options", "colours"),
                )


def refuse_coloured(each: Sequence[ColouredError]) -> None:
    """Refuse masks that hold colours, and list these."""
    codes = np.unique(np.concatenate([one.codes for one in each])).tolist()
    colours = [[code >> 16, code >> 8 & 255, code & 255] for code in codes]
    if len(colours) > MOST_COLOURS:
        raise DataError(
            f"{each[0]}; they hold {len(colours):,} colours, though, more than classes have: smoothing (resizing other "
            "than 'nearest', JPEG) leaves such colours at every border",
            where=("path",),
        )
    raise DataError(f"{each[0]}: there are {first_of(colours, MOST_COLOURS)}", where=("options", "colours"),
                    value=colours)  # fmt: skip
