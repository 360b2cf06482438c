"""Scores an exported folder on a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chattn_nas.arguments import checked
from chattn_nas.data import ImageSet
from chattn_nas.errors import InputError, first_line
from chattn_nas.export.folder import ExportedFolder, open_folder
from chattn_nas.plural import first_of, plural
from chattn_nas.tasks import Task
from chattn_nas.tasks.classification import Classification
from chattn_nas.tasks.label_metrics import build_metric, summed_loss


@dataclass(frozen=True)
class Score:
    """The result of scoring an exported network on a data set.

    Attributes:
        score: The score by ``metric``, for most metrics 0 to 1.
        metric: Name of the metric.
        accuracy: Share of right classes (of right labels, if there are several per image), 0 to 1; ``None`` for other
            tasks.
        loss: Mean loss: cross-entropy, or the task's.
        images: Number of images.
        figures: Further figures of the task.
    """

    score: float
    metric: str
    accuracy: float | None
    loss: float
    images: int
    figures: dict[str, Any] = field(default_factory=dict)


@checked
def evaluate_folder(
    path: ExportedFolder | Path | str,
    images: ImageSet,
    *,
    metric: str | None = None,
    task: Task | None = None,
    class_names: Sequence[str] = (),
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Score:
    """Score the network of an exported folder in float32, with the folder's preprocessing.

    Args:
        path: A folder from ``export_network`` with the format ``source``, or the result of ``open_folder``.
        images: uint8 images (N, C, H, W) of the folder's channels and size, and their labels (N,) or presence (N, K),
            or the targets of ``task``.
        metric: As ``data.metric`` of a spec; by default accuracy, or average precision with several labels per image.
        task: The network's task, with the data; by default classification.
        class_names: Names of the data set's classes by label; refused if the network was trained for others.
        batch_size: Images at a time.
        device: Device to run on.

    Raises:
        InputError: It is no exported folder, the images have another shape or other classes than the network, or the
            metric does not suit the task.
    """
    folder = path if isinstance(path, ExportedFolder) else open_folder(path)
    wanted = (folder.in_chans, *folder.image_size)
    if not len(images):
        raise InputError("the data set is empty")
    first = images[torch.zeros(1, dtype=torch.int64)]
    if (shape := tuple(first.images.shape[1:])) != wanted:
        raise InputError(f"{folder.path} takes images of shape {wanted}, the data set has {shape}")
    if isinstance(task, Classification):
        task = None
    _refuse_other_classes(folder, class_names, task)
    network = folder.network(device)
    if task is not None:
        return _by_task(folder, network, images, task, batch_size, torch.device(device))
    logits, targets = [], []
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            part = images[torch.arange(start, min(start + batch_size, len(images)))]
            output = folder.answers(network, part.images.to(device))
            if not isinstance(output, torch.Tensor) or output.ndim != 2:
                raise InputError(f"{folder.path} holds no classifier, and only classifiers are scored here")
            logits.append(output)
            targets.append(part.labels.to(device))
    every, labels = torch.cat(logits), torch.cat(targets)
    classes, several = every.shape[1], labels.ndim > 1
    if several and labels.shape[1] != classes:
        raise InputError(f"the data set has {plural(labels.shape[1], 'class')}, the network {classes}")
    if not several and int(labels.max()) >= classes:
        raise InputError(f"the data set has label {int(labels.max())}, the network {plural(classes, 'class')}")
    name = metric or ("average_precision" if several else "accuracy")
    right = ((every > 0) == (labels > 0)) if several else every.argmax(1) == labels
    return Score(
        score=build_metric(name, classes, multilabel=several)(every, labels),
        metric=name,
        accuracy=float(right.double().mean()),
        loss=float(summed_loss(every, labels)) / len(images),
        images=len(images),
    )


def _refuse_other_classes(folder: ExportedFolder, names: Sequence[str], task: Task | None) -> None:
    """Refuse a set with other classes: its label numbers would mean other classes than the network's."""
    known = folder.class_names
    if not names or not known or tuple(names) == known:
        return
    if any(_are_numbers(one) for one in (names, known)):
        if task is None or len(names) == len(known):
            return
        raise InputError(
            f"the network in {folder.path} tells {len(known)} classes, the data set holds {len(names)} (as numbers: "
            "those that do not occur are named by classes.txt)"
        )
    lacking, new = (
        [repr(name) for name in one if name not in other] for one, other in ((known, names), (names, known))
    )
    said = [f"the set lacks {first_of(lacking)}"] * bool(lacking) + [
        f"the network does not know {first_of(new)}"
    ] * bool(new)
    raise InputError(
        f"the data set has other classes than the network in {folder.path}: {'; '.join(said) or 'their order differs'}"
    )


def _are_numbers(names: Sequence[str]) -> bool:
    """Whether the names are mere numbers: ``0``, ``1`` and so on."""
    return tuple(names) == tuple(map(str, range(len(names))))


@torch.no_grad()
def _by_task(
    folder: ExportedFolder, network: nn.Module, images: ImageSet, task: Task, batch_size: int, device: torch.device
) -> Score:
    scorer = task.scorer(len(images), device)
    for rows in torch.arange(len(images)).split(batch_size):
        part = images[rows]
        output = folder.answers(network, part.images.to(device))
        try:
            scorer.add(output, part.labels.to(device), rows.to(device))
        except (RuntimeError, AttributeError, IndexError) as error:
            raise InputError(
                f"{folder.path} holds no network of this task: {type(error).__name__}: {first_line(error)}"
            ) from error
    score, loss = scorer.result()
    return Score(score, task.unit.name, None, loss, len(images), scorer.figures())
