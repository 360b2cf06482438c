"""The base class of tasks: everything that training, scoring and export must know of what is learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from chattn_nas.arguments import checked
from chattn_nas.data import Data, DataSettings, Normalize, TensorSet, augment, load_data
from chattn_nas.data.load import Where
from chattn_nas.errors import DataError, InputError
from chattn_nas.tasks import registry
from chattn_nas.tasks.settings import TaskSettings
from chattn_nas.tasks.shown import Shown
from chattn_nas.unit import Unit

#: What the network gives, and targets, to the mean loss; nothing in it waits for the device. Where that is a mean over
#: something else than images, a method ``weight(targets)`` gives how much that is, for batches taken in parts.
Criterion = Callable[[Any, Tensor], Tensor]


class Scorer(Protocol):
    """Scores a network on one set of images, batch by batch.

    What :meth:`add` writes lies in buffers that stay where they are, so that it can be captured.
    """

    def reset(self) -> None:
        """Begin anew."""

    def add(self, output: Any, targets: Tensor, rows: Tensor) -> None:
        """One batch.

        Args:
            output: Of the network.
            targets: Those of the images, as the data set holds them.
            rows: Which images of the set they are, (B,).
        """

    def result(self) -> tuple[float, float]:
        """Score, more is better, and mean loss over all images that were added."""

    def figures(self) -> dict[str, Any]:
        """Further figures, such as the score of every class; plain values."""


class Task:
    """Base of all tasks; made once per worker.

    Args:
        settings: The spec's section ``task``.
        data: The data set; a task may give ``self.data`` other facts, such as fewer classes.

    Raises:
        InputError: The data do not serve, or have no such metric; ``where`` is the path of keys.

    Attributes:
        Settings: Class of the section, a subclass of :class:`TaskSettings`.
        metrics: Names that ``data.metric`` may have; the first is the default.
        unit: What scores are told in.
        classes: Whether there are classes: attentions that need their number are refused otherwise.
        mixes: Whether images may be mixed, erased and distorted in the final training: targets do not follow the image.
        useful: The difference, as it is shown, that is worth having where the spec does not say (``judging.useful``).
        recipe: Settings of the proxy that suit the task, where the spec names none.
    """

    Settings: ClassVar[type[TaskSettings]] = TaskSettings
    metrics: ClassVar[tuple[str, ...]] = ()
    classes: ClassVar[bool] = True
    mixes: ClassVar[bool] = False
    useful: ClassVar[float] = 0.3
    recipe: ClassVar[Mapping[str, Any]] = {}

    unit: Unit

    def __init__(self, settings: TaskSettings, data: Data) -> None:
        self.settings, self.data = settings, data
        self._normalizers: dict[torch.device, Normalize] = {}

    @classmethod
    def check_installed(cls) -> None:
        """Refuse where packages are missing that the task needs; asked before data are read.

        Raises:
            MissingExtraError: They are not installed; the message says how to.
        """

    @classmethod
    def metric_of(cls, data: Data, called: str) -> str:
        """The metric that the data ask for; where they leave it open, which reads as accuracy, the first of the task's.

        Args:
            data: The data set.
            called: The task in words, for the error.

        Raises:
            DataError: It is none of :attr:`metrics`.
        """
        if data.metric not in (*cls.metrics, "accuracy"):
            raise DataError(
                f"no metric {data.metric!r} for {called}", where=("data", "metric"), value=data.metric,
                choices=cls.metrics,
            )  # fmt: skip
        return data.metric if data.metric in cls.metrics else cls.metrics[0]

    def network(self, network: nn.Module, seed: int) -> nn.Module:
        """The network with the task's head: by default as it is, a classifier.

        Args:
            network: From ``build_network``; it may be taken over. What a head draws is drawn under a seed of its own,
                so that networks of one seed have the same head.
            seed: Of the training.
        """
        return network

    def inputs(self, images: Tensor) -> Tensor:
        """uint8 images (B, C, H, W) as the network takes them."""
        device = images.device
        if device not in self._normalizers:
            self._normalizers[device] = Normalize(self.data, device)
        return self._normalizers[device](images)

    def prepare(self, batch: TensorSet, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A training batch, augmented: what the network takes, and what :meth:`criterion` compares it with."""
        return self.inputs(augment(batch.images, self.data.augmentation, generator)), batch.labels

    def criterion(self, device: torch.device, *, label_smoothing: float = 0.0) -> Criterion:
        """The loss of training, on a device."""
        raise NotImplementedError

    def presence(self, targets: Tensor) -> Tensor:
        """Labels (B,) or presence (B, classes) of every class, for attentions that learn it beside the task."""
        return targets

    def scorer(self, images: int, device: torch.device) -> Scorer:
        """Scores a set of so many images."""
        raise NotImplementedError

    def floor(self) -> dict[str, Any] | None:
        """``score`` of having learnt nothing on the validation images, and ``by``: what answers so."""
        return None

    def show(self, output: Any, images: Tensor, targets: Tensor) -> list[Shown]:
        """The network's answers on a few images, for the report; nothing where the task draws none.

        Args:
            output: Of the network in eval mode, on the CPU.
            images: uint8 (B, C, H, W).
            targets: Theirs, as the data set holds them.
        """
        return []

    def export(self) -> dict[str, Any]:
        """How ``model.py`` of an export is used: arguments of :class:`~chattn_nas.export.usage.Usage`.

        None are those of a classifier.
        """
        return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskData(Data):
    """A data set and what is learned from it."""

    task: Task


def of(settings: TaskSettings, data: Data) -> TaskData:
    """A data set with a task."""
    task = registry.find(settings.type)(settings, data)
    held = {field.name: getattr(task.data, field.name) for field in fields(Data)}
    return TaskData(**held | {"metric": task.unit.name}, task=task)


@checked
def load(
    settings: TaskSettings, data: DataSettings, *, device: torch.device | str = "cpu", data_on: Where = "auto"
) -> TaskData:
    """The data set of a spec with its task.

    Args:
        settings: Section ``task``.
        data: Section ``data``.
        device: To train on.
        data_on: As for ``load_data``.

    Raises:
        InputError: The data are missing or malformed, or do not serve the task.
    """
    registry.find(settings.type).check_installed()
    try:
        return of(settings, load_data(data, device=device, data_on=data_on))
    except DataError:
        raise
    except InputError as error:
        raise error if error.where[:1] in (("data",), ("task",)) else error.at("task") from None


def task_of(data: Data) -> Task:
    """The task of a data set: classification unless it names another."""
    if isinstance(data, TaskData):
        return data.task
    from chattn_nas.tasks.classification import Classification

    return Classification(TaskSettings(), data)
