"""Scores a network on a set of images."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from chattn_nas.data import Data, ImageSet, MappedSet, TensorSet
from chattn_nas.proxy.capture import Capture, Replayed
from chattn_nas.proxy.step import autocast
from chattn_nas.proxy.streamed import read_ahead
from chattn_nas.tasks import task_of


class Evaluation:
    """Scores one network on one set, as often as it is called.

    Args:
        network: On the device of the images.
        images: The images to score it on.
        data: The data set with its task, which says how images are normalised and scored.
        batch_size: Images at a time.
        capture: ``None`` runs eagerly.
    """

    def __init__(
        self, network: nn.Module, images: ImageSet, data: Data, batch_size: int, capture: Capture | None = None
    ) -> None:
        device = images.labels.device
        self.network, self.images, self.task = network, images, task_of(data)
        self.batch = torch.arange(min(batch_size, len(images)), device=device)
        self.start = torch.zeros((), dtype=torch.int64, device=device)
        self.scorer = self.task.scorer(len(images), device)
        self.advance = Replayed(lambda: self._score(*self._at(self.batch)), capture)

    @torch.no_grad()
    def __call__(self) -> tuple[float, float]:
        """Return the score by the metric of the task (more is better) and the mean loss, in eval mode."""
        self.network.eval()
        self.start.zero_()
        self.scorer.reset()
        if isinstance(self.images, MappedSet):
            index = torch.arange(len(self.images)).split(len(self.batch))
            for rows, pixels in zip(index, read_ahead(self.images, index), strict=True):
                device = self.batch.device
                rows = rows.to(device)
                self._score(TensorSet(pixels.to(device, non_blocking=True), self.images.labels[rows]), rows)
        else:
            whole, rest = divmod(len(self.images), len(self.batch))
            for _ in range(whole):
                self.advance()
            if rest:
                self._score(*self._at(self.batch[:rest]))
        return self.scorer.result()

    def figures(self) -> dict[str, Any]:
        """Further figures of the task from the last call, such as the score of every class."""
        return self.scorer.figures()

    def _at(self, batch: torch.Tensor) -> tuple[TensorSet, torch.Tensor]:
        rows = batch + self.start
        self.start += len(batch)
        return self.images[rows], rows  # type: ignore[return-value]

    def _score(self, images: TensorSet, rows: torch.Tensor) -> None:
        with autocast(self.batch.device):
            output = self.network(self.task.inputs(images.images))
        self.scorer.add(output, images.labels, rows)


def evaluate(
    network: nn.Module, images: ImageSet, data: Data, *, batch_size: int, device: torch.device
) -> tuple[float, float]:
    """Return the score by the metric of ``data`` and the mean loss of ``network`` on ``images``, in eval mode."""
    return Evaluation(network.to(device), images.to(device), data, batch_size)()
