"""The base class of tasks: everything that training, scoring and export must know about what is learned."""

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

    :meth:`add` writes only into buffers that stay in place, so that it can be captured.
    """

    def reset(self) -> None:
        """Forget everything that was added."""

    def add(self, output: Any, targets: Tensor, rows: Tensor) -> None:
        """Add a batch.

        Args:
            output: Output of the network.
            targets: Targets of the images, as the data set holds them.
            rows: Indices of the images in the set, (B,).
        """

    def result(self) -> tuple[float, float]:
        """Return the score (more is better) and the mean loss over all images that were added."""

    def figures(self) -> dict[str, Any]:
        """Further figures, such as the score of every class; plain values."""


class Task:
    """Base of all tasks; made once per worker.

    Args:
        settings: The spec's section ``task``.
        data: The data set; a task may change facts in ``self.data``, such as the number of classes.

    Raises:
        InputError: The data do not suit the task, or have no such metric; ``where`` is the path of keys.

    Attributes:
        Settings: Class of the section, a subclass of :class:`TaskSettings`.
        metrics: Possible values of ``data.metric``; the first is the default.
        unit: Unit of the scores.
        classes: Whether there are classes; if not, attentions that need their number are refused.
        mixes: Whether images may be mixed, erased and distorted in the final training without changing their targets.
        useful: The default of ``judging.useful``: the smallest difference worth having, as shown.
        recipe: Defaults of the proxy's settings that suit the task.
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
        """Check that the packages of the task are installed, before data are read.

        Raises:
            MissingExtraError: They are not installed; the message says how to install them.
        """

    @classmethod
    def check_metric(cls, metric: str, called: str) -> None:
        """Check that the task has a metric; ``accuracy`` leaves it open.

        Raises:
            DataError: It is none of :attr:`metrics`.
        """
        if metric not in cls.metrics:
            raise DataError(
                f"no metric {metric!r} for {called}", where=("data", "metric"), value=metric, choices=cls.metrics
            )

    @classmethod
    def metric_of(cls, data: Data, called: str) -> str:
        """The metric that the data ask for; if they leave it open (``accuracy``), the first of the task's.

        Args:
            data: The data set.
            called: The task in words, for the error.

        Raises:
            DataError: It is none of :attr:`metrics`.
        """
        if data.metric == "accuracy":  # what a spec that names it is refused for before
            return cls.metrics[0]
        cls.check_metric(data.metric, called)
        return data.metric

    def network(self, network: nn.Module, seed: int) -> nn.Module:
        """Return the network with the task's head; by default the classifier as it is.

        Args:
            network: From ``build_network``; it may be taken over. A head is drawn under a seed of its own, so that
                networks of one seed have the same head.
            seed: Seed of the training.
        """
        return network

    def inputs(self, images: Tensor) -> Tensor:
        """Turn uint8 images (B, C, H, W) into input of the network."""
        device = images.device
        if device not in self._normalizers:
            self._normalizers[device] = Normalize(self.data, device)
        return self._normalizers[device](images)

    def prepare(self, batch: TensorSet, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augment a training batch; return input of the network and targets of :meth:`criterion`."""
        return self.inputs(augment(batch.images, self.data.augmentation, generator)), batch.labels

    def criterion(self, device: torch.device, *, label_smoothing: float = 0.0) -> Criterion:
        """Make the loss of training, on a device."""
        raise NotImplementedError

    def presence(self, targets: Tensor) -> Tensor:
        """Labels (B,) or presence (B, classes) of every class, for attentions with an auxiliary loss."""
        return targets

    def scorer(self, images: int, device: torch.device) -> Scorer:
        """Make a scorer for a set of that many images."""
        raise NotImplementedError

    def floor(self) -> dict[str, Any] | None:
        """The validation ``score`` of a network that has learnt nothing, and ``by``, the answer that gives it."""
        return None

    def show(self, output: Any, images: Tensor, targets: Tensor) -> list[Shown]:
        """Show the network's answers on a few images, for the report; nothing if the task cannot draw them.

        Args:
            output: Output of the network in eval mode, on the CPU.
            images: uint8 (B, C, H, W).
            targets: The images' targets, as the data set holds them.
        """
        return []

    def export(self) -> dict[str, Any]:
        """Arguments of :class:`~chattn_nas.export.usage.Usage`, on how to use an export; none for a classifier."""
        return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskData(Data):
    """A data set with its task."""

    task: Task


def of(settings: TaskSettings, data: Data) -> TaskData:
    """Add a task to a data set."""
    task = registry.find(settings.type)(settings, data)
    held = {field.name: getattr(task.data, field.name) for field in fields(Data)}
    return TaskData(**held | {"metric": task.unit.name}, task=task)


@checked
def load(
    settings: TaskSettings, data: DataSettings, *, device: torch.device | str = "cpu", data_on: Where = "auto"
) -> TaskData:
    """Load the data set of a spec with its task.

    Args:
        settings: Section ``task``.
        data: Section ``data``.
        device: Device to train on.
        data_on: As for ``load_data``.

    Raises:
        InputError: The data are missing or malformed, or do not suit the task.
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
