"""Augmentation of the final training: the proxy's, with the settings' additions."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import v2

from chattn_nas.data import TensorSet, augment
from chattn_nas.proxy.mixing import BatchMixing
from chattn_nas.spec.training_settings import TrainingSettings
from chattn_nas.tasks import Task


class Prepare:
    """Turns batches of uint8 images and targets into augmented, normalised ones, on their device.

    RandAugment and erasing are torchvision's, for labels only, and draw from the global state; the task and mixing draw
    from a generator.

    Args:
        settings: The augmentations to use.
        task: The task with its data.
        generator: Generator for the task, on the device.
        mixing: Mixes the batch in the end.
    """

    def __init__(
        self, settings: TrainingSettings, task: Task, generator: torch.Generator, mixing: BatchMixing | None = None
    ) -> None:
        self.task, self.generator, self.mixing = task, generator, mixing
        self.randaugment = v2.RandAugment(settings.randaugment, settings.magnitude) if settings.randaugment else None
        self.erasing = v2.RandomErasing(settings.erasing) if settings.erasing else None

    @property
    def draws_on_host(self) -> bool:
        """Whether it draws on the host: a captured step would repeat one draw for ever."""
        return self.randaugment is not None or self.erasing is not None

    def __call__(self, batch: TensorSet) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) uint8 and targets to float32 and targets of the loss; (B, num_classes) if mixed."""
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
