"""How ``model.py`` of a segmentation answers an image file; copied into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CLASS_NAMES: tuple[str, ...] = ()
IMAGE_SIZE = (1, 1)
RESIZE = "squash"
PALETTE: tuple[int, ...] = ()


def open_image(path: str | Path, size: tuple[int, int] | None = None) -> Any:
    """Stands for the function of ``model.py``."""
    raise NotImplementedError


def answer(output: Any, path: str | Path) -> None:
    """Write the class of every pixel as a palette picture beside the image, and print the share of every class."""
    from PIL import Image

    classes = output.argmax(1)[0]
    mask = Image.frombytes("P", IMAGE_SIZE[::-1], bytes(classes.flatten().tolist()))
    mask.putpalette(PALETTE)
    if RESIZE == "squash":
        mask = mask.resize(open_image(path).size, Image.Resampling.NEAREST)
    file = Path(path).with_suffix(".mask.png")
    mask.save(file)
    print(f"wrote {file.name}, {mask.width}x{mask.height} px")
    counts = [int((classes == index).sum()) for index in range(len(CLASS_NAMES))]
    for index in sorted(range(len(counts)), key=lambda index: -counts[index]):
        if counts[index]:
            print(f"{100 * counts[index] / classes.numel():6.2f} %  {CLASS_NAMES[index]}")
