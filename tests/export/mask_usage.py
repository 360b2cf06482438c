"""What a task of masks hands to an export: copied into ``model.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

IMAGE_SIZE = (1, 1)
PALETTE: list[int] = []


def open_image(path: str | Path, size: tuple[int, int] | None = None) -> Any:
    """Stands for the function of ``model.py``."""
    raise NotImplementedError


def _indices(output: torch.Tensor) -> torch.Tensor:
    return output.argmax(1)[0].to(torch.uint8)


def answer(output: Any, path: str | Path) -> None:
    """Write a mask of the picture's own size beside it."""
    from PIL import Image

    indices = _indices(output)
    mask = Image.frombytes("P", IMAGE_SIZE[::-1], bytes(indices.flatten().tolist()))
    mask.putpalette(PALETTE)
    file = Path(path).with_suffix(".mask.png")
    mask.resize(open_image(path).size, Image.Resampling.NEAREST).save(file)
    print(f"wrote {file.name}")
