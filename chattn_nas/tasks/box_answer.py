"""How ``model.py`` of a detection answers an image file; copied into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

CLASS_NAMES: tuple[str, ...] = ()
IMAGE_SIZE = (1, 1)
RESIZE = "squash"
PALETTE: tuple[int, ...] = ()
NMS = 0.6
SURE = 0.45


def open_image(path: str | Path, size: tuple[int, int] | None = None) -> Any:
    """Stands for the function of ``model.py``."""
    raise NotImplementedError


def framed(size: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float]:
    """Stands for the function of ``model.py``."""
    raise NotImplementedError


def detections(output: torch.Tensor, sure: float = SURE) -> list[tuple[int, float, tuple[float, ...]]]:
    """Class, sureness and box (left, top, right, bottom in pixels of IMAGE_SIZE) of every object in the first image.

    The surest first; of two boxes of one class that overlap by more than NMS, only the surer one.

    Args:
        output: Of the network, (B, positions, 8 + classes).
        sure: Answers below it are left out.
    """
    height, width = IMAGE_SIZE
    boxes, central, logits = output[0, :, :4], output[0, :, 7:8], output[0, :, 8:]
    scores = (logits.sigmoid() * central.sigmoid()).sqrt()
    places, classes = (scores >= sure).nonzero(as_tuple=True)
    limits = torch.tensor([width, height, width, height], device=boxes.device)
    boxes, scores = torch.minimum(boxes[places].clamp(min=0), limits), scores[places, classes]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    found = []
    left = scores.argsort(descending=True)
    while len(left):
        best, left = left[0], left[1:]
        found.append((int(classes[best]), float(scores[best]), tuple(boxes[best].tolist())))
        low = torch.maximum(boxes[best, :2], boxes[left, :2])
        high = torch.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        overlap = shared / (areas[best] + areas[left] - shared)
        left = left[(overlap <= NMS) | (classes[left] != classes[best])]
    return found


def answer(output: Any, path: str | Path) -> None:
    """Print the objects of one image, boxes in its own pixels, and draw them into a copy beside it."""
    from PIL import ImageDraw

    picture = open_image(path).convert("RGB")
    tall, wide = framed(picture.size, IMAGE_SIZE)
    shift_x, shift_y = (wide - picture.width) / 2, (tall - picture.height) / 2
    draw = ImageDraw.Draw(picture)
    found = detections(output)
    if not found:
        print(f"no object that the network is at least {100 * SURE:.0f} % sure of")
    for label, score, (left, top, right, bottom) in found:
        left, right = (min(max(x * wide / IMAGE_SIZE[1] - shift_x, 0), picture.width) for x in (left, right))
        top, bottom = (min(max(y * tall / IMAGE_SIZE[0] - shift_y, 0), picture.height) for y in (top, bottom))
        colour = tuple(PALETTE[3 * label : 3 * label + 3])
        draw.rectangle((left, top, right, bottom), outline=colour, width=max(1, round(picture.width / 300)))
        draw.text((left + 2, top + 1), CLASS_NAMES[label], fill=colour)
        print(f"{100 * score:6.2f} %  {CLASS_NAMES[label]}  {left:.1f} {top:.1f} {right:.1f} {bottom:.1f}")
    file = Path(path).with_suffix(".boxes.png")
    picture.save(file)
    print(f"wrote {file.name}, {picture.width}x{picture.height} px")
