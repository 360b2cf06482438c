"""Scores a network."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from chattn_nas.data import Data, ImageSet, MappedSet, Normalize, TensorSet
from chattn_nas.proxy.capture import Capture, Replayed
from chattn_nas.proxy.metric import build_metric, figures, summed_loss
from chattn_nas.proxy.step import autocast
from chattn_nas.proxy.streamed import read_ahead

#: Logits up to which all are kept, for figures of every class: 256 MiB.
KEPT = 2**26


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
        self.metric = build_metric(data.metric, data.num_classes, multilabel=data.multilabel)
        self.counts = data.metric == "accuracy"  # the count of right answers is enough
        self.logits: torch.Tensor | None = None
        if not self.counts or len(images) * data.num_classes <= KEPT:
            self.logits = torch.zeros(len(images), data.num_classes, device=device)
        self.advance = Replayed(lambda: self._score(*self._at(self.batch)), capture)

    @torch.no_grad()
    def __call__(self) -> tuple[float, float]:
        """Score by the metric of the data (0 to 1, by default top-1 accuracy) and mean loss, in eval mode."""
        self.network.eval()
        for tensor in (self.start, self.correct, self.loss):
            tensor.zero_()
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
        loss = float(self.loss) / len(self.images)
        if self.counts:
            return float(self.correct) / len(self.images), loss
        assert self.logits is not None
        finite = loss - loss == 0  # a network that diverged has no score
        return self.metric(self.logits, self.images.labels) if finite else float("nan"), loss

    def figures(self) -> dict[str, Any]:
        """Figures of every class, from the last call; none where logits of so many images and classes are not kept."""
        return {} if self.logits is None else figures(self.logits, self.images.labels)

    def _at(self, batch: torch.Tensor) -> tuple[TensorSet, torch.Tensor]:
        rows = batch + self.start
        self.start += len(batch)
        return self.images[rows], rows  # type: ignore[return-value]

    def _score(self, images: TensorSet, rows: torch.Tensor) -> None:
        with autocast(self.batch.device):
            logits = self.network(self.normalize(images.images)).float()
        if self.logits is not None:
            self.logits.index_copy_(0, rows, logits)
        if self.counts:
            self.correct += (logits.argmax(1) == images.labels).sum()
        self.loss += summed_loss(logits, images.labels)


def evaluate(
    network: nn.Module, images: ImageSet, data: Data, *, batch_size: int, device: torch.device
) -> tuple[float, float]:
    """Score by the metric of ``data`` (0 to 1) and mean loss of ``network`` on ``images``, in eval mode."""
    return Evaluation(network.to(device), images.to(device), data, batch_size)()
