"""Loads a data set from its settings; the only way to its tensors."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from chattn_nas.arguments import checked
from chattn_nas.data.description import Description
from chattn_nas.data.operations import randaugment, trivial
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.split import Index, Split, split
from chattn_nas.data.store import ImageStore, in_section, open_set
from chattn_nas.data.tensors import Augmentation, Data, Further, ImageSet, MappedSet, TensorSet, channel_statistics
from chattn_nas.device import resolve_device
from chattn_nas.errors import DataError, TooLargeError
from chattn_nas.image_size import pair
from chattn_nas.parts import is_path, load_object

#: Where images lie while they are trained on: copied to the device, or mapped from the cache on disk.
Where = Literal["auto", "device", "disk"]
#: Part of the free memory that the images of a search may take of themselves.
SHARE = 0.5


@checked
def describe(settings: DataSettings) -> Description:
    """Return the description of a data set, which is read if it is not in the cache.

    Raises:
        DataError: The set is missing or malformed.
    """
    return open_set(settings).description


@checked
def divide(settings: DataSettings) -> tuple[ImageStore, Split]:
    """Return the set and its split.

    Raises:
        DataError: See :func:`describe`; or classes are too small.
    """
    stored = open_set(settings)
    targets = stored.targets["train"]
    if settings.dataset == "patches":
        settings = settings.changed(test=None)  # split by pictures already, not by patches
    with in_section():
        return stored, split(stored.description, targets if targets.ndim == 1 else None, settings)


@checked
def load_data(settings: DataSettings, *, device: torch.device | str = "cpu", data_on: Where = "auto") -> Data:
    """Load training and validation images, but not the test images.

    Args:
        settings: Settings of the set.
        device: Device to train on.
        data_on: ``device`` copies the images there, ``disk`` maps them, ``auto`` copies them if they fit easily.

    Raises:
        DataError: The set is missing or malformed.
        TooLargeError: The set does not fit the device.
        InputError: There is no such device.
    """
    device = resolve_device(device)
    stored, parts = divide(settings)
    facts = stored.description
    on_device = _on_device(stored, parts, device, data_on)
    train = _set(stored, ("train", parts.train), device, on_device)
    mean, std = channel_statistics(stored.images["train"], parts.train)
    targets = stored.targets["train"][parts.train]
    if targets.ndim > 2:
        _refuse_what_labels_need(settings)
    return Data(
        train=train,
        validation=_set(stored, parts.validation, device, on_device),
        num_classes=len(facts.class_names),
        in_chans=facts.channels,
        image_size=settings.image_size,
        mean=mean,
        std=std,
        class_names=facts.class_names,
        augmentation=_augmentation(settings, facts.may_flip),
        multilabel=facts.multilabel,
        metric=settings.metric or ("average_precision" if facts.multilabel else "accuracy"),
        class_weights=_weights(targets, len(facts.class_names)) if settings.class_weights == "balanced" else None,
        balanced=settings.sampling == "balanced",
        value_range=facts.value_range,
    )


def _refuse_what_labels_need(settings: DataSettings) -> None:
    for key in ("class_weights", "sampling"):
        if getattr(settings, key) == "balanced":
            raise DataError(f"data.{key}: balanced needs one target per image and class", where=("data", key))


def _augmentation(settings: DataSettings, may_flip: bool) -> Augmentation:
    if settings.augment == "none":
        return Augmentation()
    padding = min(pair(settings.image_size)) // 8 if settings.crop_padding is None else settings.crop_padding
    return Augmentation(padding, may_flip if settings.flip is None else settings.flip, find_further(settings.augment))


def find_further(name: str) -> Further | None:
    """Find the augmentation beyond crops and flips by its name or path; ``None`` if there is none.

    Raises:
        DataError: There is nothing at the path.
    """
    if is_path(name):
        own: Further = load_object(
            name, "an augmentation", ("data", "augment"), takes=("images", "generator"), refusal=DataError
        )
        return own
    return {"trivial": trivial, "randaugment": randaugment}.get(name)


def _weights(targets: NDArray[Any], classes: int) -> tuple[float, ...]:
    """Weights that balance the classes; for presence, that balance present and absent."""
    if targets.ndim == 2:
        counts = targets.astype(np.int64).sum(0)
        return tuple(((len(targets) - counts) / np.maximum(counts, 1)).tolist())
    counts = np.bincount(targets, minlength=classes)
    return tuple((len(targets) / (classes * np.maximum(counts, 1))).tolist())


@checked
def load_test(settings: DataSettings, *, device: torch.device | str = "cpu", data_on: Where = "auto") -> ImageSet:
    """Load the test images, which are for the final verdict: scored once, never by a search.

    Raises:
        DataError: There are none; see also :func:`load_data`.
    """
    device = resolve_device(device)
    require_test(settings)
    stored, parts = divide(settings)
    assert parts.test is not None
    return _set(stored, parts.test, device, _on_device(stored, parts, device, data_on))


@checked
def require_test(settings: DataSettings) -> None:
    """Refuse a set without test images, before anything is spent on a training that needs them.

    Raises:
        DataError: There are none; see also :func:`load_data`.
    """
    if not has_test(settings):
        raise DataError(
            "there are no test images: the set has no test part, and data.test does not keep one (data.test: 0.2)",
            where=("data", "test"),
        )


@checked
def has_test(settings: DataSettings) -> bool:
    """Whether there are test images.

    Raises:
        DataError: See :func:`load_data`.
    """
    return divide(settings)[1].test is not None


def _set(stored: ImageStore, chosen: tuple[str, Index], device: torch.device | str, on_device: bool) -> ImageSet:
    part, rows = chosen
    labels = torch.from_numpy(np.ascontiguousarray(stored.targets[part][rows])).to(device)
    held = stored.images[part]
    if not on_device:
        return MappedSet((held,), rows, labels)
    try:
        images = torch.empty(len(rows), *held.shape[1:], dtype=torch.uint8, device=device)
        for start in range(0, len(rows), 1024):  # in parts, so that no second copy of the whole is made
            images[start : start + 1024].copy_(torch.from_numpy(_gather(held, rows[start : start + 1024])))
        return TensorSet(images, labels)
    except (RuntimeError, MemoryError) as error:
        if "memory" not in str(error).lower():
            raise
        raise TooLargeError(
            f"{len(rows):,} images of {'x'.join(map(str, held.shape[1:]))} take "
            f"{len(rows) * _bytes(held) / 2**30:.1f} GiB, more than {device} has free; leaving them on disk "
            "(data_on: disk), a smaller data.image_size or another device may help",
            where=("data", "image_size"),
        ) from None


def _gather(held: NDArray[np.uint8], rows: Index) -> NDArray[np.uint8]:
    gathered: NDArray[np.uint8] = held[rows]
    return gathered


def _bytes(held: NDArray[np.uint8]) -> int:
    return int(np.prod(held.shape[1:]))


def _on_device(stored: ImageStore, parts: Split, device: torch.device, data_on: Where) -> bool:
    if data_on != "auto":
        return data_on == "device"
    wanted = sum(len(rows) * _bytes(stored.images[part]) for part, rows in (("train", parts.train), parts.validation))
    return wanted <= SHARE * _free(device)


def _free(device: torch.device) -> float:
    """Free memory in bytes, on the device or in main memory."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        import psutil

        return float(psutil.virtual_memory().available)
    except ImportError:
        return float("inf")
