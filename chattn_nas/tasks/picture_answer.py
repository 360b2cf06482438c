"""How ``model.py`` of a super-resolution answers an image file; copied into it.

A picture of any size is taken in tiles of the size that was trained on, which overlap: attention sees what it saw.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

IMAGE_SIZE = (1, 1)
MEAN: tuple[float, ...] = (0.0,)
STD: tuple[float, ...] = (1.0,)
SCALE = 2


def open_image(path: str | Path, size: tuple[int, int] | None = None) -> Any:
    """Stands for the function of ``model.py``."""
    raise NotImplementedError


def pixels(image: Any) -> torch.Tensor:
    """Stands for the function of ``model.py``."""
    raise NotImplementedError


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Stands for the function of ``model.py``."""
    raise NotImplementedError


def tiles_of(height: int, width: int) -> list[tuple[int, int]]:
    """Top and left of the tiles that cover a picture, each at most a quarter over the one before."""

    def starts(length: int, tile: int) -> list[int]:
        step = max(1, tile - tile // 4)
        return [*range(0, max(length - tile, 0), step), max(length - tile, 0)]

    return [(top, left) for top in starts(height, IMAGE_SIZE[0]) for left in starts(width, IMAGE_SIZE[1])]


def read_image(path: str | Path) -> torch.Tensor:
    """An image file as normalised tiles (N, C, H, W) of IMAGE_SIZE."""
    picture = normalise(pixels(open_image(path)))
    height, width = picture.shape[2:]
    below, right = max(0, IMAGE_SIZE[0] - height), max(0, IMAGE_SIZE[1] - width)
    picture = torch.nn.functional.pad(picture, (0, right, 0, below), mode="replicate")
    tiles = [
        picture[:, :, top : top + IMAGE_SIZE[0], left : left + IMAGE_SIZE[1]] for top, left in tiles_of(height, width)
    ]
    return torch.cat(tiles)


def joined(output: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Tiles (N, C, H, W) as one picture (C, SCALE height, SCALE width) in 0 to 255; where they overlap, their mean,
    weighted towards their middle."""
    rows, columns = output.shape[2:]
    near = torch.minimum(torch.arange(rows) + 1, rows - torch.arange(rows))[:, None] * torch.minimum(
        torch.arange(columns) + 1, columns - torch.arange(columns)
    )
    whole = torch.zeros(output.shape[1], max(SCALE * height, rows), max(SCALE * width, columns))
    weight = torch.zeros(whole.shape[1:])
    for tile, (top, left) in zip(output, tiles_of(height, width)):
        place = slice(SCALE * top, SCALE * top + rows), slice(SCALE * left, SCALE * left + columns)
        whole[:, place[0], place[1]] += tile * near
        weight[place] += near
    whole = (whole / weight)[:, : SCALE * height, : SCALE * width]
    mean, std = torch.tensor(MEAN).view(-1, 1, 1), torch.tensor(STD).view(-1, 1, 1)
    return ((whole * std + mean) * 255).round().clamp(0, 255)


def answer(output: Any, path: str | Path) -> None:
    """Write the picture, enlarged, beside the image."""
    from PIL import Image

    width, height = open_image(path).size
    picture = joined(output, height, width).to(torch.uint8)
    mode = "RGB" if len(picture) == 3 else "L"
    content = bytes(picture.permute(1, 2, 0).flatten().tolist())
    file = Path(path).with_suffix(f".x{SCALE}.png")
    Image.frombytes(mode, (SCALE * width, SCALE * height), content).save(file)
    print(f"wrote {file.name}, {SCALE * width}x{SCALE * height} px")
