"""Epochs over images that a loader reads, for sets that do not fit the device."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler

from chattn_nas.data import Normalize, TensorSet
from chattn_nas.proxy.optimizer import Rates
from chattn_nas.proxy.step import autocast


class Order(Sampler[list[int]]):
    """The batches of one epoch after the other, each process its share of every batch."""

    def __init__(self, images: int, batch_size: int, generator: torch.Generator, part: tuple[int, int]) -> None:
        self.images, self.batch_size, self.generator, self.part = images, batch_size, generator, part

    def __iter__(self) -> Iterator[list[int]]:
        rank, size = self.part
        order = torch.randperm(self.images, generator=self.generator).tolist()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield order[start : start + self.batch_size][rank::size]

    def __len__(self) -> int:
        return self.images // self.batch_size


class Streamed:
    """As :class:`~chattn_nas.proxy.resident.Resident`, with images that are read while the device works.

    Args:
        step: Trains on one batch and returns its loss.
        images: Items are an image (C, S, S) uint8 and its label.
        batch_size: Images per step of all processes together, at most the number of images.
        rates: Learning rates of the optimiser.
        generator: Draws the order of the images, on the CPU.
        device: To train on.
        part: Number of this process, and how many there are.
        workers: Processes of the loader.
    """

    def __init__(
        self,
        step: Callable[[TensorSet], Tensor],
        images: Dataset[Any],
        batch_size: int,
        rates: Rates,
        generator: torch.Generator,
        device: torch.device,
        part: tuple[int, int] = (0, 1),
        workers: int | None = None,
    ) -> None:
        self.step, self.rates, self.device = step, rates, device
        order = Order(len(images), batch_size, generator, part)  # type: ignore[arg-type]
        self.steps = len(order)
        self.loader = open_loader(images, device, workers, batch_sampler=order)

    def epoch(self, factors: Sequence[float], after: Callable[[], None] | None = None) -> float:
        """Train for one epoch; the sum of its losses."""
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for batch, factor in zip(batches(self.loader, self.device), factors, strict=True):
            self.rates.set(torch.tensor([factor], dtype=torch.float64, device=self.device))
            total += self.step(batch)
            if after is not None:
                after()
        return float(total)


def open_loader(images: Dataset[Any], device: torch.device, workers: int | None, **how: Any) -> DataLoader[Any]:
    """A loader of uint8 images; ``how`` says in which batches."""
    if workers is None:
        workers = min(8, os.cpu_count() or 1)
    return DataLoader(
        images, num_workers=workers, persistent_workers=workers > 0, pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # its workers decide nothing: the global state is left to the training
        **how,
    )  # fmt: skip


def batches(loader: DataLoader[Any], device: torch.device) -> Iterator[TensorSet]:
    """On the device."""
    for images, labels in loader:
        yield TensorSet(images.to(device, non_blocking=True), labels.to(device, non_blocking=True))


@torch.no_grad()
def score(
    network: nn.Module, loader: DataLoader[Any], normalize: Normalize, device: torch.device
) -> tuple[float, float]:
    """Top-1 accuracy (0 to 1) and mean cross-entropy of a network on all that a loader gives, in eval mode."""
    network.eval()
    correct, loss, seen = torch.zeros((), device=device), torch.zeros((), device=device), 0
    for batch in batches(loader, device):
        with autocast(device):
            logits = network(normalize(batch.images)).float()
        correct += (logits.argmax(1) == batch.labels).sum()
        loss += F.cross_entropy(logits, batch.labels, reduction="sum")
        seen += len(batch)
    return float(correct) / seen, float(loss) / seen
