"""Epochs over images on disk: batches are read ahead while the device works."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import torch
from torch import Tensor

from chattn_nas.data import MappedSet, TensorSet
from chattn_nas.proxy.resident import Resident

#: Batches that are read before they are asked for.
AHEAD = 4
THREADS = 2


class Streamed(Resident):
    """Epochs over images that stay on disk, with the same results to the bit as over images in memory.

    A batch is copied into a tensor that stays in place, so the step can be captured; the host waits for the disk, never
    for the device. The targets of ``images`` are on the training device.
    """

    images: MappedSet

    @cached_property
    def pixels(self) -> Tensor:
        """The tensor that every batch is copied into."""
        shape = (self.batch_size // self.part[1], *self.images.shape)
        return torch.empty(shape, dtype=torch.uint8, device=self.images.labels.device)

    def _batches_in_place(self) -> Iterator[Tensor]:
        for pixels in read_ahead(self.images, self.order.cpu()):
            self.pixels.copy_(pixels, non_blocking=True)
            yield pixels

    def _batch(self, index: Tensor) -> TensorSet:
        return TensorSet(self.pixels, self.images.labels[index])


def read_ahead(images: MappedSet, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Read the images (B, C, H, W) of every batch of indices ahead, into memory that a GPU can copy from meanwhile."""
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
