"""Scores a network."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from chattn_nas.data import Data, ImageSet, MappedSet, Normalize, TensorSet
from chattn_nas.proxy.capture import Capture, Replayed
from chattn_nas.proxy.step import autocast
from chattn_nas.proxy.streamed import read_ahead


class Evaluation:
    """Scores one network on one set, as often as it is called.

    Args:
        network: On the device of the images.
        images: To score it on.
        data: Says how images are normalised.
        batch_size: Images at a time.
        capture: ``None`` runs eagerly.
    """

    def __init__(
        self, network: nn.Module, images: ImageSet, data: Data, batch_size: int, capture: Capture | None = None
    ) -> None:
        device = images.labels.device
        self.network, self.images, self.normalize = network, images, Normalize(data, device)
        self.batch = torch.arange(min(batch_size, len(images)), device=device)
        self.start = torch.zeros((), dtype=torch.int64, device=device)
        self.correct = torch.zeros((), device=device)
        self.loss = torch.zeros((), device=device)
        self.advance = Replayed(lambda: self._score(self._at(self.batch)), capture)

    @torch.no_grad()
    def __call__(self) -> tuple[float, float]:
        """Top-1 accuracy (0 to 1) and mean cross-entropy, in eval mode."""
        self.network.eval()
        for tensor in (self.start, self.correct, self.loss):
            tensor.zero_()
        if isinstance(self.images, MappedSet):
            index = torch.arange(len(self.images)).split(len(self.batch))
            for rows, pixels in zip(index, read_ahead(self.images, index), strict=True):
                device = self.batch.device
                self._score(TensorSet(pixels.to(device, non_blocking=True), self.images.labels[rows.to(device)]))
        else:
            whole, rest = divmod(len(self.images), len(self.batch))
            for _ in range(whole):
                self.advance()
            if rest:
                self._score(self._at(self.batch[:rest]))
        return float(self.correct) / len(self.images), float(self.loss) / len(self.images)

    def _at(self, batch: torch.Tensor) -> TensorSet:
        found = self.images[batch + self.start]
        self.start += len(batch)
        return found

    def _score(self, images: TensorSet) -> None:
        with autocast(self.batch.device):
            logits = self.network(self.normalize(images.images)).float()
        self.correct += (logits.argmax(1) == images.labels).sum()
        self.loss += F.cross_entropy(logits, images.labels, reduction="sum")


def evaluate(
    network: nn.Module, images: ImageSet, data: Data, *, batch_size: int, device: torch.device
) -> tuple[float, float]:
    """Top-1 accuracy (0 to 1) and mean cross-entropy of ``network`` on ``images``, in eval mode."""
    return Evaluation(network.to(device), images.to(device), data, batch_size)()
