"""Inspects a data set: images by class, average pictures of classes, and batches as the network sees them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

from chattn_nas.data._augment import augment, draw_moves, moved, moved_boxes
from chattn_nas.data.boxes import CLASS, are_boxes, counted, objects
from chattn_nas.data.load import divide, load_data
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.tensors import Augmentation
from chattn_nas.files import replacing
from chattn_nas.image_size import pair

log = logging.getLogger(__name__)

#: Pictures of classes and images on the contact sheet are enlarged to at least this many pixels.
SHOWN = 96


def counts(settings: DataSettings) -> list[dict[str, object]]:
    """One row per class: its name and its number of images, or boxes, in every part."""
    stored, parts = divide(settings)
    names = stored.description.class_names
    table: list[dict[str, object]] = [{"class": name} for name in names]
    for name, (part, index) in parts.rows().items():
        targets = stored.targets[part][index]
        if targets.ndim == 1:  # in one go: there may be thousands of classes
            totals = np.bincount(targets, minlength=len(names)).tolist()
        elif are_boxes(targets):
            totals = counted(targets, len(names)).tolist()
        else:
            totals = [int(_of_class(targets, number).sum()) for number in range(len(names))]
        for row, images in zip(table, totals):
            row[name] = images
    return table


def _of_class(targets: NDArray[Any], number: int) -> NDArray[np.bool_]:
    """Tell which images (N,) show a class, from labels (N,), presence (N, K), masks or boxes."""
    if targets.ndim == 1:
        return targets == number
    if are_boxes(targets):
        targets = objects(targets, number)
        return np.asarray(targets.any(1))
    showing: NDArray[np.bool_] = targets[:, number] > 0 if targets.ndim == 2 else (targets == number).any((1, 2))
    return showing


def mean_pictures(settings: DataSettings) -> Image.Image:
    """The average training image of every class, eight to a row; of all images if there are no classes."""
    stored, parts = divide(settings)
    images, targets = stored.images["train"], stored.targets["train"]
    pictures = []
    chosen = targets[parts.train]
    each = [parts.train[_of_class(chosen, number)] for number in range(len(stored.description.class_names))]
    for mine in each or [parts.train]:
        total = np.zeros(images.shape[1:])
        for start in range(0, len(mine), 256):
            total += images[mine[start : start + 256]].sum(0, dtype=np.float64)
        pictures.append((total / max(len(mine), 1)).round().astype(np.uint8))
    return _grid(np.stack(pictures))


def contact_sheet(settings: DataSettings, seed: int = 0, count: int = 64) -> Image.Image:
    """Draw augmented training images as they reach the network, with their boxes or masks, eight to a row."""
    data = load_data(settings, data_on="disk")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data.train), generator=generator)[:count]
    batch = data.train[order]
    if are_boxes(batch.labels.numpy()):
        moves = draw_moves(len(batch), batch.images.device, data.augmentation, generator)
        boxes = moved_boxes(batch.labels, moves, pair(data.image_size))
        return _grid(moved(batch.images, moves).numpy(), boxes=boxes.numpy())
    if batch.labels.ndim == 3:  # masks; 0 is the border that crops bring in, and void
        both = torch.cat([batch.images, batch.labels[:, None] + 1], 1)
        both = augment(both, Augmentation(data.augmentation.crop_padding, data.augmentation.flip), generator)
        return _grid(_painted(both[:, :-1].numpy(), both[:, -1].numpy()))
    return _grid(augment(batch.images, data.augmentation, generator).numpy())


def _painted(images: NDArray[np.uint8], numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (N, C, H, W) half covered by a colour per number (N, H, W); 0 is left as it is."""
    colours = [ImageColor.getrgb(f"hsl({137.5 * number % 360:.0f}, 100%, 50%)")[:3] for number in range(255)]
    table = np.array([(0, 0, 0), *colours], np.uint16)
    covered = table[numbers].transpose(0, 3, 1, 2)
    shown = images if images.shape[1] == 3 else images[:, :1].repeat(3, 1)
    return np.where(numbers[:, None] > 0, (shown + covered) // 2, shown).astype(np.uint8)


def write_contact_sheet(settings: DataSettings, path: Path) -> None:
    """Write a contact sheet as JPEG, at most 960 pixels wide, if there is none; on a full disk it is left out.

    Args:
        settings: Settings of a set that was read before.
        path: The file.
    """
    if path.exists():
        return
    sheet = contact_sheet(settings, count=24)
    sheet.thumbnail((960, 960))
    try:
        with replacing(path) as partial:
            sheet.save(partial, "JPEG", quality=80)
    except OSError as error:
        log.warning("the contact sheet of the data could not be stored: %s", error)


def _grid(images: NDArray[np.uint8], columns: int = 8, *, boxes: NDArray[np.float32] | None = None) -> Image.Image:
    """Join images (N, C, H, W) into one picture, with boxes (N, M, 6) drawn; unless 1 or 3, only the first channel."""
    count, channels, height, width = images.shape
    if channels not in (1, 3):
        images = images[:, :1]
    factor = max(1, -(-SHOWN // min(height, width)))
    down, right = height * factor + 2, width * factor + 2
    columns = min(columns, count)
    sheet = Image.new("RGB", (columns * right + 2, -(-count // columns) * down + 2), "white")
    for number, image in enumerate(images):
        picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
        picture = picture.resize((width * factor, height * factor), Image.Resampling.NEAREST).convert("RGB")
        for box in () if boxes is None else boxes[number][objects(boxes[number])]:
            colour = f"hsl({137.5 * float(box[CLASS]) % 360:.0f}, 100%, 50%)"
            ImageDraw.Draw(picture).rectangle([factor * float(side) for side in box[:4]], outline=colour)
        sheet.paste(picture, (2 + number % columns * right, 2 + number // columns * down))
    return sheet
