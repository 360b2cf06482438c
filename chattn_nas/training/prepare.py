"""Augmentation of the final training: the proxy's, and what the settings ask for beside it."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import v2

from chattn_nas.data import Augmentation, Normalize, TensorSet, augment
from chattn_nas.spec.training_settings import TrainingSettings


class Prepare:
    """Batches of uint8 images and labels to normalised images and targets, on their device.

    RandAugment, erasing and mixup are torchvision's and draw from the global state; crops and flips from a generator.

    Args:
        settings: Which of them.
        normalize: Normalisation of the data.
        augmentation: Crops and flips.
        num_classes: Mixup makes targets of shape (B, num_classes).
        generator: Draws crops and flips, on the device.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        normalize: Normalize,
        augmentation: Augmentation,
        num_classes: int,
        generator: torch.Generator,
    ) -> None:
        self.normalize, self.augmentation, self.generator = normalize, augmentation, generator
        self.randaugment = v2.RandAugment(settings.randaugment, settings.magnitude) if settings.randaugment else None
        self.erasing = v2.RandomErasing(settings.erasing) if settings.erasing else None
        self.mixup = v2.MixUp(alpha=settings.mixup, num_classes=num_classes) if settings.mixup else None

    @property
    def draws_on_host(self) -> bool:
        """Whether it decides on the host: a captured step would repeat one decision for ever."""
        return any((self.randaugment, self.erasing, self.mixup))

    def __call__(self, batch: TensorSet) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) uint8 and (B,) to (B, C, H, W) float32 and (B,), with mixup (B, num_classes)."""
        images, labels = augment(batch.images, self.augmentation, self.generator), batch.labels
        if self.randaugment is not None:
            images = torch.stack([self.randaugment(image) for image in images])
        images = self.normalize(images)
        if self.erasing is not None:
            images = torch.stack([self.erasing(image) for image in images])
        if self.mixup is not None:
            images, labels = self.mixup(images, labels)
        return images.contiguous(memory_format=torch.channels_last), labels
