"""Epochs over images that lie on disk: batches are read ahead while the device works."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from chattn_nas.data import MappedSet, TensorSet
from chattn_nas.proxy.capture import Capture, Replayed
from chattn_nas.proxy.optimizer import Rates
from chattn_nas.proxy.order import draw

#: Batches that are read before they are asked for.
AHEAD = 4
THREADS = 2


class Streamed:
    """As :class:`~chattn_nas.proxy.resident.Resident`, and to the same bits; only where the images lie is another.

    A batch is copied into a tensor that stays where it is, so the step can be captured; the host waits for the disk,
    never for the device.

    Args:
        step: Trains on one batch and returns its loss.
        images: Their targets on the training device.
        batch_size: At most their number; of all processes together.
        rates: Rates of the optimiser.
        generator: Generator of the order, on the device.
        capture: ``None`` runs eagerly.
        part: Number of this process, and how many share every batch.
        odds: For every image the odds to be drawn, with replacement; ``None`` takes every image once.
    """

    def __init__(
        self,
        step: Callable[[TensorSet], Tensor],
        images: MappedSet,
        batch_size: int,
        rates: Rates,
        generator: torch.Generator,
        capture: Capture | None = None,
        part: tuple[int, int] = (0, 1),
        odds: Tensor | None = None,
    ) -> None:
        self.device = images.labels.device
        self.step, self.images, self.batch_size, self.part = step, images, batch_size, part
        self.rates, self.generator, self.odds = rates, generator, odds
        self.steps = len(images) // batch_size
        own = batch_size // part[1]
        self.pixels = torch.empty(own, *images.shape, dtype=torch.uint8, device=self.device)
        self.order = torch.empty(self.steps, own, dtype=torch.int64, device=self.device)
        self.factors = torch.empty(self.steps, dtype=torch.float64, device=self.device)
        self.number = torch.zeros(1, dtype=torch.int64, device=self.device)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.advance = Replayed(self._advance, capture)

    def epoch(self, factors: Sequence[float], after: Callable[[], None] | None = None) -> float:
        """Train for one epoch; the sum of its losses.

        Args:
            factors: Factors of the peak learning rate, one per step.
            after: Called after every step.
        """
        order = draw(len(self.images), self.odds, self.generator)
        rank, processes = self.part
        whole = order[: self.steps * self.batch_size].view(self.steps, self.batch_size)
        self.order.copy_(whole[:, rank::processes])
        self.factors.copy_(torch.tensor(factors, dtype=torch.float64))
        self.number.zero_()
        self.loss_sum.zero_()
        for pixels in read_ahead(self.images, self.order.cpu()):
            self.pixels.copy_(pixels, non_blocking=True)
            self.advance()
            if after is not None:
                after()
        return float(self.loss_sum)

    def _advance(self) -> None:
        self.rates.set(self.factors[self.number])
        labels = self.images.labels[self.order[self.number].squeeze(0)]
        self.loss_sum += self.step(TensorSet(self.pixels, labels))
        self.number += 1


def read_ahead(images: MappedSet, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Images (B, C, H, W) of every batch of indices, in memory that a GPU can fetch from while others are read."""
    pinned = images.labels.device.type == "cuda"

    def read(batch: Tensor) -> Tensor:
        pixels = images.read(batch)
        return pixels.pin_memory() if pinned else pixels

    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[Future[Tensor]] = deque()
        for batch in batches:
            waiting.append(pool.submit(read, batch))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
