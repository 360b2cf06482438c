"""Augmentation of the final training: the proxy's, and what the settings ask for beside it."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import v2

from chattn_nas.data import TensorSet, augment
from chattn_nas.spec.training_settings import TrainingSettings
from chattn_nas.tasks import Task


class Prepare:
    """Batches of uint8 images and targets to normalised images and targets, on their device.

    RandAugment, erasing and mixup are torchvision's, for labels alone, and draw from the global state; what the task
    does draws from a generator.

    Args:
        settings: Which of them.
        task: What is learned, of which data.
        generator: Draws what the task draws, on the device.
    """

    def __init__(self, settings: TrainingSettings, task: Task, generator: torch.Generator) -> None:
        self.task, self.generator, classes = task, generator, task.data.num_classes
        self.randaugment = v2.RandAugment(settings.randaugment, settings.magnitude) if settings.randaugment else None
        self.erasing = v2.RandomErasing(settings.erasing) if settings.erasing else None
        self.mixup = v2.MixUp(alpha=settings.mixup, num_classes=classes) if settings.mixup else None

    @property
    def draws_on_host(self) -> bool:
        """Whether it decides on the host: a captured step would repeat one decision for ever."""
        return any((self.randaugment, self.erasing, self.mixup))

    def __call__(self, batch: TensorSet) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) uint8 and targets to float32 and what the loss takes; with mixup (B, num_classes)."""
        if not self.draws_on_host:
            return self.task.prepare(batch, self.generator)
        images, labels = augment(batch.images, self.task.data.augmentation, self.generator), batch.labels
        if self.randaugment is not None:
            images = torch.stack([self.randaugment(image) for image in images])
        images = self.task.inputs(images)
        if self.erasing is not None:
            images = torch.stack([self.erasing(image) for image in images])
        if self.mixup is not None:
            images, labels = self.mixup(images, labels)
        return images.contiguous(memory_format=torch.channels_last), labels
