"""``torch`` data sets: items of an image and a label."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.pictures import Items, Listing, Part
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.item_targets import listing_of_targets
from chattn_nas.errors import DataError

#: Items that a data set is recognised by, where reading all of them would take as long as reading the set.
SAMPLED = 32
#: Attributes in which data sets keep all their labels.
LABELS = ("targets", "labels", "_labels")


def listing_of_sets(
    sets: Mapping[str, Any], called: str, settings: DataSettings, *, may_flip: bool = True, said: tuple[str, ...] = (),
    threads: bool = True,
) -> Listing:  # fmt: skip
    """List the parts of data sets whose items are pairs of an image and its target.

    A target is a label, the presence of every class, or a target of :mod:`~chattn_nas.data.sources.item_targets`.

    Raises:
        DataError: Items are something else.
    """
    if (listing := listing_of_targets(sets, called, settings, said=said, threads=threads)) is not None:
        return replace(listing, may_flip=may_flip)
    parts = {}
    for part, one in sets.items():
        labels = _labels(one, called)
        parts[part] = Part(Items(partial(_image, one), np.arange(len(labels)), f"{called}, {part}"), labels)
    train = parts["train"].targets
    assert isinstance(train, np.ndarray)
    names = getattr(sets["train"], "classes", None)
    if train.ndim == 2:
        named = tuple(map(str, names)) if names is not None and len(names) == train.shape[1] else None
        return Listing(parts=parts, class_names=named or tuple(map(str, range(train.shape[1]))), may_flip=may_flip,
                       said=said, threads=threads)  # fmt: skip
    most = max(int(part.targets.max()) for part in parts.values() if len(part.targets))  # type: ignore[union-attr]
    least = min(int(part.targets.min()) for part in parts.values() if len(part.targets))  # type: ignore[union-attr]
    if least < 0 or (names is not None and most >= len(names)):
        raise DataError(
            f"{called} has labels from {least} to {most}, outside 0..{len(names) - 1 if names is not None else most}",
            where=("dataset",),
        )
    named = tuple(map(_name, names)) if names is not None else tuple(map(str, range(most + 1)))
    return Listing(parts=parts, class_names=named, may_flip=may_flip, said=said, threads=threads)


def _image(data_set: Any, index: int) -> Any:
    return data_set[index][0]


def _name(name: Any) -> str:
    """The name of a class; ImageNet's are tuples of names."""
    return ", ".join(map(str, name)) if isinstance(name, tuple | list) else str(name)


def _item(data_set: Any, index: int, called: str) -> Any:
    """One item of a set: image and label first.

    Raises:
        DataError: It is something else.
    """
    item = data_set[index]
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise DataError(
            f"items of {called} are pairs of image and label, not {type(item).__name__}", where=("dataset",)
        )
    return item


def _labels(data_set: Any, called: str) -> NDArray[Any]:
    """Labels of all items, without opening the images if the set stores labels separately."""
    for name in LABELS:
        kept = getattr(data_set, name, None)
        if kept is not None and len(kept) == len(data_set) and getattr(data_set, "target_transform", None) is None:
            array = np.asarray(kept)
            if array.dtype.kind in "iub" and array.ndim in (1, 2):
                return array.astype(np.int64 if array.ndim == 1 else np.uint8)
    labels = []
    for index in range(len(data_set)):
        labels.append(np.asarray(_item(data_set, index, called)[1]))
    if not labels:
        raise DataError(f"{called} is empty", where=("dataset",))
    if any(one.dtype.kind not in "iub" or one.shape != labels[0].shape or one.ndim > 1 for one in labels):
        raise DataError(
            f"{called} has targets that no task takes, such as {str(labels[0].tolist())[:60]}: a label, presence of "
            "classes, boxes with labels, a mask or a larger picture (docs/data.md)",
            where=("dataset",),
        )
    stacked = np.stack(labels)
    return stacked.astype(np.int64 if stacked.ndim == 1 else np.uint8)


def stamps_of(sets: Mapping[str, Any], called: str) -> list[str]:
    """Length, labels and some images, which identify a data set whose files are unknown."""
    stamps = []
    for part, one in sets.items():
        digest = hashlib.blake2b(digest_size=16)
        for index in np.unique(np.linspace(0, len(one) - 1, SAMPLED).astype(int)) if len(one) else ():
            image, target = _item(one, int(index), called)[:2]
            for held in (image, *_read_of(target)):
                digest.update(_bytes(held))
        stamps.append(f"{part} {type(one).__name__} {len(one)} {digest.hexdigest()}")
    return stamps


def _read_of(target: Any) -> list[Any]:
    """The parts of a target that count: boxes and labels of objects, else all of it."""
    if not isinstance(target, Mapping):
        return [target]
    return [target[key] for key in ("boxes", "labels", "iscrowd") if target.get(key) is not None]


def _bytes(held: Any) -> bytes:
    """The same bytes for the same value in every process."""
    try:
        array = np.asarray(held)
    except ValueError:  # lists of several lengths
        return repr(held).encode()
    return repr(held).encode() if array.dtype == object else array.tobytes()
