"""Small data sets of every task, as files, and a network of a task."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from chattn_nas.network import build_network
from chattn_nas.space import Architecture, Backbone, StageChoice
from chattn_nas.tasks import TaskData

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


def boxes(folder: Path, *, images: int = 24, size: int = SIZE) -> Path:
    """Bright squares (wide: twice as wide as high) on noise, one of each in an image; COCO's JSON for every part."""
    rng = np.random.default_rng(0)
    for part, count in (("train", images), ("val", 10), ("test", 10)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        told = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "square"}, {"id": 2, "name": "wide"}]}
        for number in range(count):
            picture = rng.integers(90, 150, (size, size, 3))
            side = int(rng.integers(size // 5, size // 3))
            halves = rng.permutation(2)  # one above the other, so that they do not overlap
            for kind, half in enumerate(halves, 1):
                width, height = (side, side) if kind == 1 else (2 * side, side)
                left = int(rng.integers(0, size - width))
                top = int(half * size // 2 + rng.integers(0, size // 2 - height + 1))
                picture[top : top + height, left : left + width] += 90 if kind == 1 else -80
                told["annotations"].append(
                    {"id": len(told["annotations"]) + 1, "image_id": number, "category_id": kind, "iscrowd": 0,
                     "bbox": [left, top, width, height]}
                )  # fmt: skip
            told["images"].append({"id": number, "file_name": f"{number:03}.png", "width": size, "height": size})
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / part / f"{number:03}.png")
        (folder / f"{part}.json").write_text(json.dumps(told))
    return folder


def built(data: TaskData, kind: str = "se", seed: int = 0) -> nn.Module:
    """A small network with the head of the data's task."""
    architecture = Architecture(Backbone("cifar_resnet8", options={"width": 8}), (StageChoice(kind),))
    network = build_network(architecture, num_classes=data.num_classes, image_size=data.image_size, seed=seed)
    return data.task.network(network, seed)
