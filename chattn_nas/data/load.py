"""From settings to tensors; the only two doors to a data set."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources import SOURCES, Source
from chattn_nas.data.tensors import Augmentation, Data, TensorSet, channel_statistics
from chattn_nas.errors import DataError, TooLargeError


def load_data(settings: DataSettings, *, device: torch.device | str = "cpu") -> Data:
    """Training and validation images on ``device``; the test images are never touched.

    Raises:
        DataError: The set is missing or malformed.
        TooLargeError: It does not fit the device.
    """
    source = SOURCES[settings.dataset](settings, "train")
    train, validation = split(source.labels, settings)
    first, second = (TensorSet(*_tensors(source, index, settings, device)) for index in (train, validation))
    mean, std = channel_statistics(first.images)
    padding = settings.image_size // 8 if settings.crop_padding is None else settings.crop_padding
    flip = source.may_flip if settings.flip is None else settings.flip
    return Data(
        train=first,
        validation=second,
        num_classes=len(source.class_names),
        in_chans=first.images.shape[1],
        image_size=settings.image_size,
        mean=mean,
        std=std,
        class_names=source.class_names,
        augmentation=Augmentation(padding, flip),
    )


def load_test(settings: DataSettings, *, device: torch.device | str = "cpu") -> TensorSet:
    """The test images: for the final verdict, read once, never by a search.

    Raises:
        DataError: As :func:`load_data`.
    """
    source = SOURCES[settings.dataset](settings, "test")
    return TensorSet(*_tensors(source, np.arange(len(source.labels)), settings, device))


def split(labels: np.ndarray, settings: DataSettings) -> tuple[np.ndarray, np.ndarray]:
    """Indices of training and validation images, every class in the same proportion.

    Raises:
        DataError: A class has too few images.
    """
    rng = np.random.default_rng(settings.seed)
    train, validation = [], []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = round(settings.validation * len(members))
        if not 0 < count < len(members):
            raise DataError(
                f"class {label} has {len(members)} training images: too few for {settings.validation:g} of them to be "
                "the validation set",
                where=("validation",),
            )
        validation.append(members[:count])
        train.append(members[count:])
    chosen = rng.permutation(np.concatenate(train))[: settings.train_limit]
    return np.sort(chosen), np.sort(np.concatenate(validation))


def _tensors(
    source: Source, chosen: np.ndarray, settings: DataSettings, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Chosen images (N, C, S, S) uint8 and labels (N,) int64 on the device, resized in parts to bound the memory."""
    size = settings.image_size
    count, channels = len(source.images), source.images.shape[3]
    try:
        images = torch.empty(len(chosen), channels, size, size, dtype=torch.uint8, device=device)
        for start in range(0, len(chosen), 1024):
            part = torch.from_numpy(source.images[chosen[start : start + 1024]]).permute(0, 3, 1, 2)
            if part.shape[2:] != (size, size):
                part = torch.nn.functional.interpolate(part.float(), (size, size), mode="bilinear", antialias=True)
                part = part.round_().clamp_(0, 255).to(torch.uint8)
            images[start : start + 1024].copy_(part)
        return images, torch.from_numpy(source.labels[chosen]).to(device)
    except (RuntimeError, MemoryError) as error:
        if "memory" not in str(error).lower():
            raise
        gib = count * channels * size * size / 2**30
        raise TooLargeError(
            f"{count:,} images of {channels}x{size}x{size} take {gib:.1f} GiB, more than {device} has free; "
            "a smaller data.image_size or another device may do",
            where=("image_size",),
        ) from None
