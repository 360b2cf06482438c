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
#: Its place in a spec.
WHERE = ("proxy", "loss")


def find_loss(name: str, task: type[Task], called: str) -> Criterion | None:
    """Find a loss by its name: what is at a path, ``None`` where the name is known.

    Args:
        name: A name or a path.
        task: The task that it is for.
        called: The task's name.

    Raises:
        InputError: There is no such loss, or it is not for this task; ``where`` is its place in the spec.
    """
    if is_path(name):
        own: Criterion = load_object(name, "a loss", WHERE, takes=("output", "targets"))
        return own
    if name not in LOSSES:
        raise InputError(f"there is no loss {name!r}", where=WHERE, value=name, choices=(*LOSSES, "module:function"))
    if name != "task" and not issubclass(task, Classification):
        raise _unsuited(name, f"task {called}")
    return None


def _unsuited(name: str, kind: str) -> InputError:
    return InputError(f"proxy.loss {name} is not for {kind}", where=WHERE, value=name, choices=("task",))


def criterion_of(task: Task, settings: ProxySettings, device: torch.device) -> Criterion:
    """Make the loss between a network's output and the targets of its batch.

    Raises:
        InputError: There is no such loss, or it does not suit this task; ``where`` is its place in the spec.
    """
    name = settings.loss
    if own := find_loss(name, type(task), task.settings.type):
        return own
    made = task.criterion(device, label_smoothing=settings.label_smoothing)
    if name == "task":
        return made
    if not isinstance(made, LabelLoss) or (name == "ce" and task.data.multilabel):
        raise _unsuited(name, "several labels per image")
    made.binary = name == "bce"
    return made
