"""Epochs over images on the training device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from chattn_nas.data import ImageSet, TensorSet
from chattn_nas.proxy.capture import Capture, Replayed
from chattn_nas.proxy.optimizer import Rates
from chattn_nas.proxy.order import draw


class Resident:
    """Trains on shuffled full batches; the images that do not fill a batch are left out of that epoch.

    The order, the schedule and the step's number are tensors on the device, so every step is the same work: it can be
    captured, and needs nothing from the host.

    Args:
        step: Trains on one batch and returns its loss.
        images: On the training device.
        batch_size: Images per batch of all processes together; at most the number of images.
        rates: Learning rates of the optimiser.
        generator: Draws the order of the images, on the device.
        capture: ``None`` runs eagerly.
        part: Number of this process, and number of processes that share every batch.
        odds: Odds of every image, to draw with replacement; ``None`` takes every image once.
    """

    def __init__(
        self,
        step: Callable[[TensorSet], Tensor],
        images: ImageSet,
        batch_size: int,
        rates: Rates,
        generator: torch.Generator,
        capture: Capture | None = None,
        part: tuple[int, int] = (0, 1),
        odds: Tensor | None = None,
    ) -> None:
        device = images.labels.device
        self.step, self.images, self.batch_size, self.part = step, images, batch_size, part
        self.rates, self.generator, self.odds = rates, generator, odds
        self.steps = len(images) // batch_size
        self.order = torch.empty(self.steps, batch_size // part[1], dtype=torch.int64, device=device)
        self.factors = torch.empty(self.steps, dtype=torch.float64, device=device)
        self.number = torch.zeros(1, dtype=torch.int64, device=device)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.advance = Replayed(self._advance, capture)

    def epoch(self, factors: Sequence[float], after: Callable[[], None] | None = None) -> float:
        """Train for one epoch, and return the sum of its losses; it waits for the device only at the end.

        Args:
            factors: Factors of the peak learning rate, one per step.
            after: Called after every step.
        """
        self.begin(factors)
        for _ in self._batches_in_place():
            self.advance()
            if after is not None:
                after()
        return float(self.loss_sum)

    def begin(self, factors: Sequence[float]) -> None:
        """Draw the order for an epoch of ``advance``, whose losses add up in ``loss_sum``, without waiting."""
        order = draw(len(self.images), self.odds, self.generator)
        rank, processes = self.part
        whole = order[: self.steps * self.batch_size].view(self.steps, self.batch_size)
        self.order.copy_(whole[:, rank::processes])
        self.factors.copy_(torch.tensor(factors, dtype=torch.float64))
        self.number.zero_()
        self.loss_sum.zero_()

    def _batches_in_place(self) -> Iterable[object]:
        """Yield once per step of the epoch, when the batch is where :meth:`_batch` takes it from."""
        return range(self.steps)

    def _batch(self, index: Tensor) -> TensorSet:
        """The batch of these indices, taken on the device alone."""
        return self.images[index]  # type: ignore[return-value]

    def _advance(self) -> None:
        self.rates.set(self.factors[self.number])
        self.loss_sum += self.step(self._batch(self.order[self.number].squeeze(0)))
        self.number += 1
