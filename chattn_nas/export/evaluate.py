"""Scores an exported folder on a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from chattn_nas.data import ImageSet
from chattn_nas.errors import InputError
from chattn_nas.export.folder import open_folder
from chattn_nas.tasks.label_metrics import build_metric, summed_loss


@dataclass(frozen=True)
class Score:
    """How an exported network does on a data set.

    Attributes:
        score: By ``metric``, 0 to 1.
        metric: Its name.
        accuracy: Share of right answers: classes, or with several labels per image labels, 0 to 1.
        loss: Mean cross-entropy.
        images: How many there were.
    """

    score: float
    metric: str
    accuracy: float
    loss: float
    images: int


def evaluate_folder(
    path: Path | str,
    images: ImageSet,
    *,
    metric: str | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Score:
    """Score the network of an exported folder, with the preprocessing that lies there, in float32.

    Args:
        path: Written by ``export_network`` with the format ``source``.
        images: uint8 images (N, C, H, W) of the folder's channels and size, and their labels (N,) or presence (N, K).
        metric: As ``data.metric`` of a spec; by default accuracy, or average precision with several labels per image.
        batch_size: Images at a time.
        device: Where to run.

    Raises:
        InputError: No exported folder, images of another shape or with other classes than the network has, or a metric
            that does not fit.
    """
    folder = open_folder(path)
    wanted = (folder.in_chans, *folder.image_size)
    if not len(images):
        raise InputError("the data set is empty")
    first = images[torch.zeros(1, dtype=torch.int64)]
    if (shape := tuple(first.images.shape[1:])) != wanted:
        raise InputError(f"{path} takes images of shape {wanted}, the data set has {shape}")
    network = folder.network(device)
    logits, targets = [], []
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            part = images[torch.arange(start, min(start + batch_size, len(images)))]
            output = network(folder.model.normalise(part.images.to(device)))
            if not isinstance(output, torch.Tensor) or output.ndim != 2:
                raise InputError(f"{path} holds no classifier, and only classifiers are scored here")
            logits.append(output)
            targets.append(part.labels.to(device))
    every, labels = torch.cat(logits), torch.cat(targets)
    classes, several = every.shape[1], labels.ndim > 1
    if several and labels.shape[1] != classes:
        raise InputError(f"the data set has {labels.shape[1]} classes, the network {classes}")
    if not several and int(labels.max()) >= classes:
        raise InputError(f"the data set has label {int(labels.max())}, the network {classes} classes")
    name = metric or ("average_precision" if several else "accuracy")
    right = ((every > 0) == (labels > 0)) if several else every.argmax(1) == labels
    return Score(
        score=build_metric(name, classes, multilabel=several)(every, labels),
        metric=name,
        accuracy=float(right.double().mean()),
        loss=float(summed_loss(every, labels)) / len(images),
        images=len(images),
    )
