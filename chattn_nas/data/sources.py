"""Where images come from: each source gives arrays of uint8 images (N, H, W, C), split into train and test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.settings import DataSettings
from chattn_nas.errors import DataError

if TYPE_CHECKING:
    from torchvision.datasets import ImageFolder

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """One half of a set, before resizing: a list of (H, W, C) images or one array of them."""

    images: Images
    labels: Labels
    class_names: tuple[str, ...]
    may_flip: bool


def digits(settings: DataSettings, part: str) -> Source:
    """1,797 handwritten digits of 8x8 pixels (Alpaydin and Kaynak, 1998); every sixth is test."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    test = np.arange(len(bunch.target)) % 6 == 5
    chosen = test if part == "test" else ~test
    images = (bunch.images[chosen] * (255 / 16)).round().astype(np.uint8)[..., None]
    return Source(images, bunch.target[chosen].astype(np.int64), tuple("0123456789"), may_flip=False)


def npz(settings: DataSettings, part: str) -> Source:
    """An archive with ``x_train, y_train, x_test, y_test``: uint8 images, grey or RGB; optionally ``classes``."""
    if settings.path is None:
        raise DataError("data set npz needs a path", where=("path",))
    path = Path(settings.path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in (f"x_{part}", f"y_{part}") if key not in archive]
            if missing:
                raise DataError(
                    f"{path} has no array {missing[0]!r}", where=("path",), value=missing[0], choices=archive
                )
            images, labels = archive[f"x_{part}"], archive[f"y_{part}"]
            names = archive.get("classes")
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}", where=("path",)) from None
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise DataError(
            f"x_{part} of {path} must be uint8 of shape (N, H, W) or (N, H, W, C), not {images.dtype} {images.shape}",
            where=("path",),
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise DataError(
            f"y_{part} of {path} must be {len(images)} integers, not {labels.dtype} {labels.shape}", where=("path",)
        )
    classes = len(names) if names is not None else int(labels.max()) + 1
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"y_{part} of {path} has labels outside 0..{classes - 1}", where=("path",))
    class_names = tuple(map(str, names)) if names is not None else tuple(map(str, range(classes)))
    return Source(
        images if images.ndim == 4 else images[..., None], labels.astype(np.int64), class_names, may_flip=True
    )


def torchvision(settings: DataSettings, part: str) -> Source:
    """Any classification set of torchvision by the name of its class."""
    from torchvision import datasets

    if settings.name is None or not hasattr(datasets, settings.name):
        known = sorted(name for name in datasets.__all__ if name[0].isupper())
        raise DataError(
            f"torchvision has no data set {settings.name!r}", where=("name",), value=settings.name, choices=known
        )
    cls = getattr(datasets, settings.name)
    arguments = {"root": settings.root or "data", "download": settings.download}
    try:
        try:
            found = cls(train=part == "train", **arguments)
        except TypeError:
            found = cls(split=part, **arguments)
    except (RuntimeError, OSError, ValueError, TypeError) as error:
        raise DataError(f"torchvision's {settings.name} cannot be loaded: {error}", where=("name",)) from None
    pairs = [(np.asarray(image), label) for image, label in found]
    images = _stack([_channels(image) for image, _ in pairs], settings.image_size)
    labels = np.array([label for _, label in pairs], np.int64)
    names = tuple(map(str, getattr(found, "classes", range(int(labels.max()) + 1))))
    return Source(
        images, labels, names, may_flip="MNIST" not in settings.name and settings.name not in ("SVHN", "USPS")
    )


def image_folder(settings: DataSettings, part: str) -> Source:
    """A folder with ``train`` and ``test`` (or ``val``), each with one folder of images per class."""
    found = open_folder(settings, part)
    try:
        images = _stack([_channels(np.asarray(image)) for image, _ in found], settings.image_size)
    except OSError as error:  # a file that is no image
        raise DataError(f"{found.root}: {error}", where=("path",)) from None
    return Source(images, np.array(found.targets, np.int64), tuple(found.classes), may_flip=True)


def open_folder(settings: DataSettings, part: str) -> ImageFolder:
    """The files and labels of an image folder; no image is read.

    Raises:
        DataError: There is no such folder, no class in it, or the test images have other classes than the training
            images.
    """
    from torchvision.datasets import ImageFolder

    if settings.path is None:
        raise DataError("data set image_folder needs a path", where=("path",))
    root = Path(settings.path)
    names = ("train",) if part == "train" else ("test", "val", "validation")
    folder = next((root / name for name in names if (root / name).is_dir()), None)
    if folder is None:
        raise DataError(f"{root} has no folder {' or '.join(names)}", where=("path",))
    try:
        found = ImageFolder(str(folder))
    except OSError as error:
        raise DataError(f"{folder}: {error}", where=("path",)) from None
    expected = found.classes if part == "train" else found.find_classes(str(root / "train"))[0]
    if found.classes != expected:  # labels are numbered by the folders that are there
        odd = sorted({*found.classes} ^ {*expected})
        raise DataError(f"{folder} and {root / 'train'} hold different classes: {', '.join(odd)}", where=("path",))
    return found


def _channels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image if image.ndim == 3 else image[..., None]


def _stack(images: list[NDArray[np.uint8]], size: int) -> Images:
    """One array of images that may differ in size."""
    from PIL import Image

    if any(image.shape != images[0].shape for image in images):
        channels = images[0].shape[2]
        images = [
            _channels(np.asarray(Image.fromarray(i.squeeze()).resize((size, size), Image.Resampling.BILINEAR)))
            for i in images
        ]
        if any(image.shape[2] != channels for image in images):
            raise DataError("some images are grey and some are coloured", where=("path",))
    return np.stack(images)


SOURCES: dict[str, Callable[[DataSettings, str], Source]] = {
    "digits": digits,
    "npz": npz,
    "torchvision": torchvision,
    "image_folder": image_folder,
}
