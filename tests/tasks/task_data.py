"""Small data sets of every task, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 32


def masks(folder: Path, *, images: int = 24, size: int = SIZE, void: int = 255) -> Path:
    """Bright squares (1) and dark discs (2) on noise (0), void around the squares; train, val and test."""
    rng = np.random.default_rng(0)
    for part, count in (("train", images), ("val", images // 2), ("test", images // 2)):
        for kind in ("images", "masks"):
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = rng.integers(90, 150, (size, size, 3))
            mask = np.zeros((size, size), np.uint8)
            top, left = rng.integers(1, size // 2, 2)
            mask[top - 1 : top + size // 3 + 1, left - 1 : left + size // 3 + 1] = void
            mask[top : top + size // 3, left : left + size // 3] = 1
            at = rng.integers(size // 2, size - 4, 2)
            rows, columns = np.ogrid[:size, :size]
            mask[(rows - at[0]) ** 2 + (columns - at[1]) ** 2 < (size // 5) ** 2] = 2
            picture[mask == 1] += 90
            picture[mask == 2] -= 80
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / part / "images" / f"{number:03}.png")
            Image.fromarray(mask).save(folder / part / "masks" / f"{number:03}.png")
    return folder


def pictures(folder: Path, *, images: int = 10, size: int = 48) -> Path:
    """Stripes of random directions and colours: high resolution alone."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    for part, count in (("train", images), ("test", 3)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            angle, wave, colour = rng.uniform(0, np.pi), rng.uniform(0.3, 0.9), rng.uniform(0.3, 1, 3)
            stripes = np.sin(wave * (rows * np.cos(angle) + columns * np.sin(angle)))
            picture = 127 + 110 * np.sign(stripes)[..., None] * colour
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / part / f"{number:03}.png")
    return folder
