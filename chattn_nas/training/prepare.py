"""Augmentation of the final training: the proxy's, and what the settings ask for beside it."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import v2

from chattn_nas.data import TensorSet, augment
from chattn_nas.proxy.mixing import BatchMixing
from chattn_nas.spec.training_settings import TrainingSettings
from chattn_nas.tasks import Task


class Prepare:
    """Batches of uint8 images and targets to normalised images and targets, on their device.

    RandAugment and erasing are torchvision's, for labels alone, and draw from the global state; what the task does, and
    mixing, draws from a generator.

    Args:
        settings: Which of them.
        task: What is learned, of which data.
        generator: Draws what the task draws, on the device.
        mixing: Mixes the batch at last.
    """

    def __init__(
        self, settings: TrainingSettings, task: Task, generator: torch.Generator, mixing: BatchMixing | None = None
    ) -> None:
        self.task, self.generator, self.mixing = task, generator, mixing
        self.randaugment = v2.RandAugment(settings.randaugment, settings.magnitude) if settings.randaugment else None
        self.erasing = v2.RandomErasing(settings.erasing) if settings.erasing else None

    @property
    def draws_on_host(self) -> bool:
        """Whether it decides on the host: a captured step would repeat one decision for ever."""
        return self.randaugment is not None or self.erasing is not None

    def __call__(self, batch: TensorSet) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) uint8 and targets to float32 and what the loss takes; mixed (B, num_classes)."""
        images, targets = self._augmented(batch)
        return (images, targets) if self.mixing is None else self.mixing(images, targets, self.generator)

    def _augmented(self, batch: TensorSet) -> tuple[Tensor, Tensor]:
        if not self.draws_on_host:
            return self.task.prepare(batch, self.generator)
        images, labels = augment(batch.images, self.task.data.augmentation, self.generator), batch.labels
        if self.randaugment is not None:
            images = torch.stack([self.randaugment(image) for image in images])
        images = self.task.inputs(images)
        if self.erasing is not None:
            images = torch.stack([self.erasing(image) for image in images])
        return images.contiguous(memory_format=torch.channels_last), labels
