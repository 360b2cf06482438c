"""Epochs over images that lie on the training device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from chattn_nas.data import ImageSet, TensorSet
from chattn_nas.proxy.capture import Capture, Replayed
from chattn_nas.proxy.optimizer import Rates
from chattn_nas.proxy.order import draw


class Resident:
    """Shuffled full batches, epoch by epoch; what does not fill a batch is left out of that epoch.

    Order, schedule and the step's number lie in tensors on the device, so every step is the same work: it can be
    captured, and needs nothing from the host.

    Args:
        step: Trains on one batch and returns its loss.
        images: On the training device.
        batch_size: At most their number; of all processes together.
        rates: Learning rates of the optimiser.
        generator: Draws the order of the images, on the device.
        capture: ``None`` runs eagerly.
        part: Number of this process, and how many share every batch.
        odds: For every image the odds to be drawn, with replacement; ``None`` takes every image once.
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
        """Train for one epoch; the sum of its losses. The only wait for the device is at its end.

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
        """Draw the order of an epoch of ``advance``, whose losses add up in ``loss_sum``; nothing is waited for."""
        order = draw(len(self.images), self.odds, self.generator)
        rank, processes = self.part
        whole = order[: self.steps * self.batch_size].view(self.steps, self.batch_size)
        self.order.copy_(whole[:, rank::processes])
        self.factors.copy_(torch.tensor(factors, dtype=torch.float64))
        self.number.zero_()
        self.loss_sum.zero_()

    def _batches_in_place(self) -> Iterable[object]:
        """As many items as the epoch has steps; before each, its batch is where :meth:`_batch` takes it from."""
        return range(self.steps)

    def _batch(self, index: Tensor) -> TensorSet:
        """The batch of these indices, taken on the device alone."""
        return self.images[index]  # type: ignore[return-value]

    def _advance(self) -> None:
        self.rates.set(self.factors[self.number])
        self.loss_sum += self.step(self._batch(self.order[self.number].squeeze(0)))
        self.number += 1
