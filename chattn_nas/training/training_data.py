"""The images of a final training, on the device or mapped from disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from chattn_nas.data import DataSettings, TensorSet, joined, load_test, require_test
from chattn_nas.proxy import DistributedContext, evaluate
from chattn_nas.proxy.capture import Capture
from chattn_nas.proxy.mixing import check_mixing
from chattn_nas.proxy.optimizer import Rates
from chattn_nas.proxy.order import even_odds
from chattn_nas.proxy.resident import Resident
from chattn_nas.proxy.streamed import Streamed
from chattn_nas.spec.training_settings import TrainingSettings
from chattn_nas.tasks import TaskData, TaskSettings, find, load

#: Settings of the final training that only labels follow.
ON_HOST = ("randaugment", "erasing")
Step = Callable[[TensorSet], Tensor]
Scores = tuple[float, float]


class Epochs(Protocol):
    """The protocol of objects that train epoch by epoch."""

    @property
    def steps(self) -> int:
        """Steps of one epoch."""

    def epoch(self, factors: Sequence[float], after: Callable[[], None] | None = None) -> float:
        """Train for one epoch; return the sum of its losses."""


@dataclass(frozen=True)
class TrainingData:
    """Images for one final training.

    Attributes:
        facts: Training and validation images, and the task.
        data, settings: Sections of the spec.
        device: Device to train on.
    """

    facts: TaskData
    data: DataSettings
    settings: TrainingSettings
    device: torch.device

    def epochs(
        self, step: Step, batch_size: int, rates: Rates, order: torch.Generator, capture: Capture | None,
        context: DistributedContext,
    ) -> Epochs:  # fmt: skip
        """Make the epochs over the training images, perhaps together with the validation images."""
        images = self.facts.train
        if self.settings.with_validation:
            images = joined(images, self.facts.validation)
        size = context.batch(batch_size, len(images))
        part = (context.rank, context.size)
        odds = even_odds(images.labels) if self.facts.balanced else None
        if isinstance(images, TensorSet):
            return Resident(step, images, size, rates, order, capture, part, odds)
        return Streamed(step, images, size, rates, order, capture, part, odds)

    @property
    def images(self) -> int:
        """Number of images that an epoch may draw from."""
        return len(self.facts.train) + (len(self.facts.validation) if self.settings.with_validation else 0)

    def validate(self, network: nn.Module, batch_size: int) -> Scores:
        """Score and loss on the validation images."""
        return evaluate(network, self.facts.validation, self.facts, batch_size=batch_size, device=self.device)

    def test(self, network: nn.Module, batch_size: int) -> Scores:
        """Score and loss on the test images, which are loaded now."""
        images = load_test(self.data, device=self.device, data_on=self.settings.data_on)
        return evaluate(network, images, self.facts, batch_size=batch_size, device=self.device)


def load_training_data(
    task: TaskSettings, data: DataSettings, settings: TrainingSettings, device: torch.device
) -> TrainingData:
    """Load the images to the device or map them, as the settings say.

    Raises:
        DataError: See ``load_data``; or there are no test images, which would otherwise show only at the end.
        InputError: The data or an augmentation do not suit the task.
    """
    require_test(data)
    check_mixing(find(task.type), task.type, settings, "training", ON_HOST)
    facts = load(task, data, device=device, data_on=settings.data_on)
    return TrainingData(facts, data, settings, device)
