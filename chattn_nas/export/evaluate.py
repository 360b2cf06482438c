"""Scores an exported folder on a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from chattn_nas.data import ImageSet
from chattn_nas.errors import InputError
from chattn_nas.export.folder import open_folder


@dataclass(frozen=True)
class Score:
    """Top-1 accuracy (0 to 1) and mean cross-entropy over ``images`` images."""

    accuracy: float
    loss: float
    images: int


def evaluate_folder(
    path: Path | str, images: ImageSet, *, batch_size: int = 256, device: torch.device | str = "cpu"
) -> Score:
    """Score the network of an exported folder, with the preprocessing that lies there, in float32.

    Args:
        path: Written by ``export_network`` with the format ``source``.
        images: uint8 images (N, C, H, W) of the folder's channels and size, and their labels.
        batch_size: Images at a time.
        device: Where to run.

    Raises:
        InputError: No exported folder, or images of another shape or with more classes than the network has.
    """
    folder = open_folder(path)
    wanted = (folder.in_chans, *folder.image_size)
    if not len(images):
        raise InputError("the data set is empty")
    shape = tuple(images[torch.zeros(1, dtype=torch.int64)].images.shape[1:])
    if shape != wanted:
        raise InputError(f"{path} takes images of shape {wanted}, the data set has {shape}")
    if images.labels.ndim > 1:
        raise InputError("images with several labels each are not scored here: accuracy is of one label per image")
    network = folder.network(device)
    correct, loss = 0, 0.0
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            part = images[torch.arange(start, min(start + batch_size, len(images)))]
            batch, labels = folder.model.normalise(part.images.to(device)), part.labels.to(device)
            logits = network(batch)
            if int(labels.max()) >= logits.shape[1]:
                raise InputError(f"the data set has label {int(labels.max())}, the network {logits.shape[1]} classes")
            correct += int((logits.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
    return Score(correct / len(images), loss / len(images), len(images))
