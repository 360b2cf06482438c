"""The ``data`` section of a spec."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chattn_nas.settings import Settings


class DataSettings(Settings):
    """A data set and how it is split.

    Attributes:
        dataset: ``digits`` (inside scikit-learn), ``npz``, ``torchvision`` or ``image_folder``.
        image_size: Height and width in pixels that every image is resized to.
        path: The ``.npz`` file, or the folder of images.
        name: Name of the torchvision class, such as ``CIFAR10``.
        root: Where torchvision looks for the set.
        download: Whether torchvision may download it.
        validation: Part of the training images that the search is scored on.
        train_limit: Train on this many images only.
        flip: Horizontal flips; ``None`` decides by the set: never for digits.
        crop_padding: Pixels of padding for random crops; ``None`` takes an eighth of the image size.
        seed: Seeds the split.
    """

    dataset: Literal["digits", "npz", "torchvision", "image_folder"] = "digits"
    image_size: int = Field(default=32, ge=1, le=1024)
    path: str | None = None
    name: str | None = None
    root: str | None = None
    download: bool = False
    validation: float = Field(default=0.2, gt=0, lt=1)
    train_limit: int | None = Field(default=None, ge=2)
    flip: bool | None = None
    crop_padding: int | None = Field(default=None, ge=0)
    seed: int = 0
