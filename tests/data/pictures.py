"""Small sets on disk, whose images are all different."""

from pathlib import Path

import numpy as np
from PIL import Image


def noise(seed: int, width: int = 10, height: int = 8, channels: int = 3) -> np.ndarray:
    """(H, W, C), or (H, W) of one channel."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def folder(root: Path, parts=("train",), classes=("ant", "bee"), count=10, mode="RGB", ending="png", **size) -> Path:
    """``root/part/class/number.png``; without parts ``root/class/number.png``."""
    seed = 0
    for part in parts or ("",):
        for name in classes:
            (root / part / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                seed += 1
                image = Image.fromarray(noise(seed, **size)).convert(mode)
                image.save(root / part / name / f"{number:03d}.{ending}")
    return root


def arrays(path: Path, n=60, shape=(6, 6), **changes) -> dict[str, np.ndarray]:
    """An archive; a change of ``None`` leaves an array out."""
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}
    for part in ("train", "test"):
        found[f"x_{part}"] = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
        found[f"y_{part}"] = np.arange(n) % 3
    found |= changes
    np.savez(path, **{name: value for name, value in found.items() if value is not None})
    return found
