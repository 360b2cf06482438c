"""The images of a final training, on the device or read through a loader."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from chattn_nas.data import Data, DataSettings, LazyData, Normalize, TensorSet, load_data, load_lazy, load_test
from chattn_nas.data.lazy import load_lazy_test
from chattn_nas.data.sources import open_folder
from chattn_nas.errors import TooLargeError
from chattn_nas.proxy import evaluate
from chattn_nas.proxy.capture import Capture
from chattn_nas.proxy.optimizer import Rates
from chattn_nas.proxy.resident import Resident
from chattn_nas.spec.training_settings import TrainingSettings
from chattn_nas.training.distributed import DistributedContext
from chattn_nas.training.streamed import Streamed, open_loader, score

log = logging.getLogger(__name__)

Step = Callable[[TensorSet], Tensor]
Scores = tuple[float, float]


class Epochs(Protocol):
    """Trains epoch by epoch."""

    @property
    def steps(self) -> int:
        """Of one epoch."""

    def epoch(self, factors: Sequence[float], after: Callable[[], None] | None = None) -> float:
        """Train for one; the sum of its losses."""


@dataclass(frozen=True)
class OnDevice:
    """Images that lie on the training device."""

    facts: Data
    settings: DataSettings
    device: torch.device

    def order(self) -> torch.Generator:
        """That the order of an epoch is drawn from."""
        return torch.Generator(self.device)

    def epochs(
        self, step: Step, batch_size: int, rates: Rates, order: torch.Generator, capture: Capture | None,
        context: DistributedContext, settings: TrainingSettings,
    ) -> Epochs:  # fmt: skip
        """Over the training images, or those and the validation images."""
        images = self.facts.train
        if settings.with_validation:
            held = self.facts.validation
            images = TensorSet(torch.cat([images.images, held.images]), torch.cat([images.labels, held.labels]))
        size = min(batch_size, len(images) // context.size * context.size)
        return Resident(step, images, size, rates, order, capture, (context.rank, context.size))

    def validate(self, network: nn.Module, batch_size: int) -> Scores:
        """Accuracy and loss on the validation images."""
        return evaluate(network, self.facts.validation, self.facts, batch_size=batch_size, device=self.device)

    def test(self, network: nn.Module, batch_size: int) -> Scores:
        """Accuracy and loss on the test images, which are read for it."""
        images = load_test(self.settings, device=self.device)
        return evaluate(network, images, self.facts, batch_size=batch_size, device=self.device)


@dataclass(frozen=True)
class OnDisk:
    """Images that a loader reads."""

    facts: LazyData
    settings: DataSettings
    device: torch.device
    workers: int | None

    def order(self) -> torch.Generator:
        """That the order of an epoch is drawn from."""
        return torch.Generator()

    def epochs(
        self, step: Step, batch_size: int, rates: Rates, order: torch.Generator, capture: Capture | None,
        context: DistributedContext, settings: TrainingSettings,
    ) -> Epochs:  # fmt: skip
        """Over the training images, or those and the validation images."""
        images = self.facts.both if settings.with_validation else self.facts.train
        size = min(batch_size, len(images) // context.size * context.size)  # type: ignore[arg-type]
        return Streamed(step, images, size, rates, order, self.device, (context.rank, context.size), self.workers)

    def validate(self, network: nn.Module, batch_size: int) -> Scores:
        """Accuracy and loss on the validation images."""
        return self._score(network, self.facts.validation, batch_size)

    def test(self, network: nn.Module, batch_size: int) -> Scores:
        """Accuracy and loss on the test images."""
        return self._score(network, load_lazy_test(self.settings), batch_size)

    def _score(self, network: nn.Module, images: torch.utils.data.Dataset, batch_size: int) -> Scores:  # type: ignore[type-arg]
        loader = open_loader(images, self.device, self.workers, batch_size=batch_size)
        return score(network, loader, Normalize(self.facts, self.device), self.device)


TrainingData = OnDevice | OnDisk


def load_training_data(data: DataSettings, settings: TrainingSettings, device: torch.device) -> TrainingData:
    """The images where the settings want them.

    Raises:
        DataError: As ``load_data``; or a folder has no test images, which would otherwise be found out at the end.
    """
    if data.dataset == "image_folder":
        open_folder(data, "test")
    if settings.data_on != "disk":
        try:
            return OnDevice(load_data(data, device=device), data, device)
        except TooLargeError as error:
            if settings.data_on == "device":
                raise
            log.warning("images go through a loader: %s", error)
    return OnDisk(load_lazy(data), data, device, settings.workers)
