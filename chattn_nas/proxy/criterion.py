"""The loss that a spec asks for."""

from __future__ import annotations

import torch

from chattn_nas.errors import InputError
from chattn_nas.parts import is_path, load_object
from chattn_nas.proxy.settings import ProxySettings
from chattn_nas.tasks.classification import Classification, LabelLoss
from chattn_nas.tasks.task import Criterion, Task

#: Losses by name; all but the first are of classifiers.
LOSSES = ("task", "ce", "bce")


def criterion_of(task: Task, settings: ProxySettings, device: torch.device) -> Criterion:
    """Make the loss between a network's output and the targets of its batch.

    Raises:
        InputError: There is no such loss, or it does not suit this task; ``where`` is its place in the spec.
    """
    name, where = settings.loss, ("proxy", "loss")
    if is_path(name):
        own: Criterion = load_object(name, "a loss", where, takes=("output", "targets"))
        return own
    if name not in LOSSES:
        raise InputError(f"there is no loss {name!r}", where=where, value=name, choices=(*LOSSES, "module:function"))
    made = task.criterion(device, label_smoothing=settings.label_smoothing)
    if name == "task":
        return made
    if (
        not isinstance(task, Classification)
        or not isinstance(made, LabelLoss)
        or (name == "ce" and task.data.multilabel)
    ):
        kind = "several labels per image" if isinstance(task, Classification) else f"task {task.settings.type}"
        raise InputError(f"proxy.loss {name} is not for {kind}", where=where, value=name, choices=("task",))
    made.binary = name == "bce"
    return made
