"""Data sets read image by image, for those that do not fit the device."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from chattn_nas.data.load import load_data, load_test, split
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources import open_folder
from chattn_nas.data.tensors import Augmentation, Images, channel_statistics

#: Mean and deviation of the images in a folder are estimated on so many of them.
SAMPLE = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class LazyData(Images):
    """As :class:`~chattn_nas.data.Data`, but images are read when they are asked for.

    Attributes:
        train, validation: Disjoint; an item is an image (C, S, S) uint8 and its label.
    """

    train: Dataset[Any]
    validation: Dataset[Any]

    @property
    def both(self) -> Dataset[Any]:
        """Training and validation images."""
        return ConcatDataset([self.train, self.validation])


def load_lazy(settings: DataSettings) -> LazyData:
    """The same parts as ``load_data`` makes. The files of a folder stay on disk; other sets lie in the main memory.

    Raises:
        DataError: As ``load_data``.
    """
    if settings.dataset != "image_folder":
        data = load_data(settings)
        return LazyData(
            train=TensorDataset(data.train.images, data.train.labels),
            validation=TensorDataset(data.validation.images, data.validation.labels),
            **{field.name: getattr(data, field.name) for field in fields(Images)},
        )
    files = _files(settings, "train")
    train, validation = split(np.array(files.targets), settings)
    sample = np.random.default_rng(settings.seed).permutation(train)[:SAMPLE]
    mean, std = channel_statistics(torch.stack([files[index][0] for index in sample]))
    padding = settings.image_size // 8 if settings.crop_padding is None else settings.crop_padding
    return LazyData(
        train=Subset(files, train.tolist()),
        validation=Subset(files, validation.tolist()),
        num_classes=len(files.classes), in_chans=3, image_size=settings.image_size, mean=mean, std=std,
        class_names=tuple(files.classes), augmentation=Augmentation(padding, settings.flip is not False),
    )  # fmt: skip


def load_lazy_test(settings: DataSettings) -> Dataset[Any]:
    """The test images, read once, for the final verdict.

    Raises:
        DataError: As ``load_test``.
    """
    if settings.dataset != "image_folder":
        test = load_test(settings)
        return TensorDataset(test.images, test.labels)
    return _files(settings, "test")


def _files(settings: DataSettings, part: str) -> Any:
    """An ``ImageFolder`` whose items are tensors of the asked size."""
    folder = open_folder(settings, part)
    size = (settings.image_size,) * 2

    def to_tensor(image: Any) -> Tensor:
        from PIL import Image

        resized = image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(resized)).permute(2, 0, 1)

    folder.transform = to_tensor
    return folder
