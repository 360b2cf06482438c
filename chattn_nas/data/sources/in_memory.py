"""Arrays of images and labels from any source: recognised, checked, and converted to a common form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.layout import PARTS
from chattn_nas.data.pictures import Arrays, Listing, Part
from chattn_nas.data.settings import DataSettings
from chattn_nas.errors import DataError
from chattn_nas.plural import plural

#: What arrays of images and of labels are called, before or behind the name of the part.
PREFIXES = ("x", "images", "image", "img", "data", "features")
LABELS = ("y", "labels", "label", "targets", "target")
CLASSES = ("classes", "class_names", "label_names")
#: Numbers of channels that tell an axis apart from height and width.
CHANNELS = (1, 3, 4)


def listing_of_arrays(arrays: Mapping[str, NDArray[Any]], called: str, settings: DataSettings) -> Listing:
    """List the parts in the arrays.

    Args:
        arrays: Arrays by name: ``x_train``, ``train_images``, ``y_val``, ... or ``x`` and ``y`` alone; perhaps
            ``classes``.
        called: Their origin, for messages.
        settings: ``channel_axis``.

    Raises:
        DataError: An array is missing or makes no sense.
    """
    parts: dict[str, dict[str, str]] = {}
    names: tuple[str, ...] | None = None
    others = []
    for name, array in arrays.items():
        kind, part = _role(name)
        if kind == "classes":
            names = tuple(str(one) for one in np.asarray(array).ravel().tolist())
        elif kind is None or part is None:
            others.append(name)
        elif kind in parts.setdefault(part, {}):
            raise DataError(f"{called} holds both {parts[part][kind]!r} and {name!r}: which is it?", where=("path",))
        else:
            parts[part][kind] = name
    if "images" not in parts.get("train", {}):
        raise DataError(f"{called} has no array 'x_train' or 'x'", where=("path",), value="x_train", choices=arrays)
    for part, roles in parts.items():
        for kind, letter in (("images", "x"), ("labels", "y")):
            if kind not in roles:
                raise DataError(
                    f"{called} has no array '{letter}_{part}' beside {next(iter(roles.values()))!r}",
                    where=("path",), value=f"{letter}_{part}", choices=arrays,
                )  # fmt: skip
    images = {
        part: _images(arrays[roles["images"]], roles["images"], called, settings) for part, roles in parts.items()
    }
    _same_channels(images, {part: roles["images"] for part, roles in parts.items()}, called)
    said: list[str] = [f"{', '.join(others)} of {called} are not used"] if others else []
    labels, names = _labels(
        {part: arrays[roles["labels"]] for part, roles in parts.items()},
        {part: roles["labels"] for part, roles in parts.items()},
        {part: len(array) for part, array in images.items()},
        names, called, said,
    )  # fmt: skip
    return Listing(
        parts={part: Part(Arrays(images[part], f"{roles['images']} of {called}"), labels[part])
               for part, roles in sorted(parts.items(), key=lambda item: item[0] != "train")},
        class_names=names, said=tuple(said),
    )  # fmt: skip


def _role(name: str) -> tuple[str | None, str | None]:
    """The role of an array: images or labels, and the part."""
    words = [word for word in name.lower().replace("-", "_").split("_") if word]
    if name.lower() in CLASSES:
        return "classes", None
    part, kind = None, None
    for word in words:
        if word in PARTS:
            part = PARTS[word]
        elif word in PREFIXES:
            kind = "images"
        elif word in LABELS:
            kind = "labels"
        else:
            for ending in PARTS:  # xtrain, ytest
                if word in (f"x{ending}", f"y{ending}"):
                    kind, part = ("images" if word[0] == "x" else "labels"), PARTS[ending]
            if kind is None:
                return None, None
    return kind, part or ("train" if kind and len(words) == 1 else None)


def _images(array: NDArray[Any], name: str, called: str, settings: DataSettings) -> NDArray[Any]:
    """The images, (N, H, W, C)."""
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} of {called} must hold numbers, not {array.dtype}", where=("path",))
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise DataError(
            f"{name} of {called} must be of shape (N, H, W), (N, H, W, C) or (N, C, H, W), not {array.shape}",
            where=("path",),
        )
    if array.ndim == 3:
        return array[..., None]
    last, first = array.shape[3] in CHANNELS, array.shape[1] in CHANNELS
    axis = settings.channel_axis
    if axis == "auto":
        if last == first:
            raise DataError(
                f"{name} of {called} has shape {array.shape}: nothing says where the channels lie; data.channel_axis: "
                "first or last does",
                where=("path",),
            )
        axis = "last" if last else "first"
    array = array if axis == "last" else array.transpose(0, 2, 3, 1)
    if array.shape[3] == 2 or (array.shape[3] == 4 and settings.channel_axis == "auto"):
        # brightness or colour with opacity: multispectral images are told by saying where their channels lie
        raise DataError(
            f"{name} of {called} has {array.shape[3]} channels: drop the opacity, or say data.channel_axis if these "
            "are channels of their own",
            where=("path",),
        )
    return array


def _same_channels(images: Mapping[str, NDArray[Any]], names: Mapping[str, str], called: str) -> None:
    for part, array in images.items():
        if array.shape[3] != images["train"].shape[3]:
            raise DataError(
                f"{names[part]} of {called} has {plural(array.shape[3], 'channel')}, {names['train']} has "
                f"{images['train'].shape[3]}",
                where=("path",),
            )
        if array.dtype != images["train"].dtype:
            raise DataError(
                f"{names[part]} of {called} holds {array.dtype}, {names['train']} {images['train'].dtype}: are they on "
                "one scale? Store both in one type",
                where=("path",),
            )


def _labels(
    arrays: Mapping[str, NDArray[Any]], called_by: Mapping[str, str], lengths: Mapping[str, int],
    names: tuple[str, ...] | None, called: str, said: list[str],
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:  # fmt: skip
    """Labels (N,) from 0 without gaps, or the presence of every class (N, classes); and names of the classes."""
    labels: dict[str, NDArray[Any]] = {}
    for part, array in arrays.items():
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.shape[:1] != (lengths[part],) or array.ndim > 2:
            raise DataError(
                f"{called_by[part]} of {called} must be {lengths[part]:,} labels, one per image, not of shape "
                f"{array.shape}",
                where=("path",),
            )
        if array.dtype.kind == "f" and (array == np.round(array)).all():
            array = array.astype(np.int64)
        if array.dtype.kind == "b":
            array = array.astype(np.int64)
        if array.dtype.kind not in "iuUS":
            raise DataError(
                f"{called_by[part]} of {called} must be {lengths[part]:,} integers or names, not {array.dtype}",
                where=("path",),
            )
        labels[part] = array
    if labels["train"].ndim == 2:
        return _hot(labels, called_by, names, called, said)
    if any(array.ndim == 2 for array in labels.values()):
        raise DataError(f"some labels of {called} are one number per image and some are many", where=("path",))
    if any(array.dtype.kind in "US" for array in labels.values()):
        return _named(labels, names, called)
    return _numbered(labels, called_by, names, called, said)


def _hot(
    arrays: Mapping[str, NDArray[Any]], called_by: Mapping[str, str], names: tuple[str, ...] | None, called: str,
    said: list[str],
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:  # fmt: skip
    width = arrays["train"].shape[1]
    for part, array in arrays.items():
        if array.ndim != 2 or array.shape[1] != width or array.dtype.kind in "US" or not np.isin(array, (0, 1)).all():
            raise DataError(
                f"{called_by[part]} of {called} must be zeros and ones of shape (N, {width}) or one label per image",
                where=("path",),
            )
    if names is not None and len(names) != width:
        raise DataError(f"{called} names {plural(len(names), 'class')}, its labels have {width}", where=("path",))
    names = names or tuple(map(str, range(width)))
    if all((array.sum(1) == 1).all() for array in arrays.values()):
        said.append("labels are one-hot: one class per image")
        return {part: array.argmax(1).astype(np.int64) for part, array in arrays.items()}, names
    return {part: array.astype(np.uint8) for part, array in arrays.items()}, names


def _named(
    arrays: Mapping[str, NDArray[Any]], names: tuple[str, ...] | None, called: str
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    from chattn_nas.data.classes import label, sorted_names

    texts = {part: [str(one) for one in array.astype("U").tolist()] for part, array in arrays.items()}
    used = {one for part in texts.values() for one in part}
    if names is not None and used - set(names):
        odd = sorted(used - set(names))[0]
        raise DataError(f"{called} has a label {odd!r}", where=("path",), value=odd, choices=names)
    names = names or tuple(sorted_names(used))
    return {part: label(part_texts, names) for part, part_texts in texts.items()}, names


def _numbered(
    arrays: Mapping[str, NDArray[Any]], called_by: Mapping[str, str], names: tuple[str, ...] | None, called: str,
    said: list[str],
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:  # fmt: skip
    labels = {part: array.astype(np.int64) for part, array in arrays.items()}
    values = np.unique(np.concatenate(list(labels.values())))
    if names is not None:
        if values[0] == 1 and values[-1] == len(names):
            said.append(f"labels run from 1 to {len(names)}: 1 is {names[0]!r}")
            return {part: array - 1 for part, array in labels.items()}, names
        for part, array in labels.items():
            if len(array) and (array.min() < 0 or array.max() >= len(names)):
                odd = array.min() if array.min() < 0 else array.max()
                raise DataError(
                    f"{called_by[part]} of {called} has labels outside 0..{len(names) - 1}, such as {odd}: the archive "
                    f"names {plural(len(names), 'class')}",
                    where=("path",),
                )
        return labels, names
    if (values[0] < 0 and values[0] != -1) or (values[0] == -1 and len(values) > 2):
        raise DataError(f"{called} has labels outside 0, 1, 2, ..., such as {values[0]}", where=("path",))
    if len(values) > 1 and not np.array_equal(values, np.arange(len(values))):
        said.append(
            f"labels are {_listed(values)}: they become 0 to {len(values) - 1}, and the classes keep their "
            "numbers as names"
        )
    names = tuple(map(str, values))
    return {part: np.searchsorted(values, array) for part, array in labels.items()}, names


def _listed(values: NDArray[np.int64]) -> str:
    return (
        ", ".join(map(str, values))
        if len(values) <= 12
        else f"{values[0]}, {values[1]}, ..., {values[-1]} ({len(values)} in all)"
    )
