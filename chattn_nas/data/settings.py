"""The ``data`` section of a spec."""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from PIL import ImageColor
from pydantic import Field, field_validator, model_validator

from chattn_nas.errors import DataError
from chattn_nas.image_size import either, pair, shown
from chattn_nas.settings import Settings

#: The keys of every source that say where and what the set is; a function takes ``options`` alone.
SOURCE_KEYS: dict[str, tuple[str, ...]] = {
    "digits": (),
    "image_folder": ("path",),
    "csv": ("path", "image_column", "label_column", "multilabel"),
    "npz": ("path", "channel_axis"),
    "npy": ("path", "channel_axis"),
    "torchvision": ("name", "root", "download", "options"),
    "hf": ("path", "name", "options", "image_column", "label_column", "download"),
    "webdataset": ("path", "image_column", "label_column"),
    "masks": ("path", "options"),
    "patches": ("path", "options"),
    "coco": ("path", "options"),
    "yolo": ("path", "options"),
    "voc": ("path", "options"),
    "module:function": ("options", "channel_axis"),
}
#: Keys that belong to some source only.
OWNED = frozenset(key for keys in SOURCE_KEYS.values() for key in keys)
AUGMENT = ("none", "crop_flip", "trivial", "randaugment")
#: Metrics of all built-in tasks; each task refuses those of others.
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "top5", "auroc", "average_precision", "log_loss", "mean_iou",
           "pixel_accuracy", "psnr", "ssim", "map", "map_50")  # fmt: skip
#: Pixels that a side of an image may have.
LEAST, MOST = 4, 1024
Side = Annotated[int, Field(ge=LEAST, le=MOST)]
#: What changes the tensors of a set, beside the source's own keys.
READ_BY = ("image_size", "resize", "background", "channels", "range", "classes", "bad_files")


class DataSettings(Settings):
    """A data set, how it is read and how it is split.

    Attributes:
        dataset: ``image_folder`` (a folder, ``.tar`` or ``.zip``), ``csv``, ``npz``, ``npy``, ``torchvision``, ``hf``,
            ``webdataset``, ``masks`` (images with a mask each), ``patches`` (of pictures in high and low resolution),
            ``coco``, ``yolo``, ``voc`` (images with boxes), ``module:function``, or ``digits`` (inside scikit-learn).
        image_size: Height and width in pixels that every image is brought to; ``[height, width]`` where they differ.
        path: The file or folder: ``~`` and environment variables are filled in; relative to the spec's folder.
        name: Name of the torchvision class, such as ``CIFAR10``, or of the set on the Hugging Face hub.
        root: Folder in which torchvision looks for the set.
        download: Whether the set may be downloaded.
        options: Further arguments of the torchvision class, of ``datasets.load_dataset``, or of the function; for masks
            ``colours``, for boxes ``outside``, for pictures ``scale``.
        image_column: Column of a table that names the image files.
        label_column: Column of a table that holds the label; several columns of 0 and 1 are several labels per image.
        multilabel: Labels of a table are several per image: separated by ``|`` or ``;``, else commas, else blanks; in
            lists, or in rows of their own.
        channel_axis: The axis of the channels in arrays; ``auto`` recognises it by their number.
        resize: ``squash`` changes the aspect ratio, ``crop`` keeps the largest central part with the wanted
            proportions, ``pad`` shows the whole image on the background.
        background: Colour behind transparent pixels and padding.
        channels: 1 (grey) or 3; ``None`` takes 1 if all images are grey.
        range: Values of black and white in images with more than eight bits; ``None`` takes the usual range that
            contains them.
        classes: Names to keep, or a mapping that renames, merges, and leaves out (``null``).
        bad_files: ``fail`` refuses a set with files that cannot be read, ``skip`` leaves them out.
        validation: Share of the training images that scores the search, if the set has no validation images.
        test: Share of the training images that is kept for the verdict, if the set has no test images.
        train_limit: Train on this many images only, with classes in proportion.
        metric: The metric that scores networks: ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``top5``, ``auroc``,
            ``average_precision``, ``log_loss`` (as exp(-loss)); for masks ``mean_iou``, ``pixel_accuracy``; for
            pictures ``psnr``, ``ssim``; for boxes ``map``, ``map_50``; or ``module:function`` of logits and targets.
            ``None`` is the task's own: accuracy, for several labels per image the mean average precision.
        class_weights: ``balanced`` weights the loss as if all classes had equally many images.
        sampling: ``balanced`` draws all classes equally often, with replacement, instead of every image once per epoch.
        augment: For training batches: ``crop_flip``, ``none``, the same with ``trivial`` (TrivialAugment) or
            ``randaugment`` after it, or with ``module:function`` of uint8 images (B, C, H, W) and their generator.
        flip: Horizontal flips; ``None`` decides by the set: never for digits.
        crop_padding: Pixels of padding for random crops; ``None`` takes an eighth of the shorter side.
        seed: Seed of the split.
        cache: Folder for the prepared images; ``None`` is the user's cache folder.
        cache_limit: Limit for all sets in it, in GiB.

    In a spec:
        dataset: image_folder
        image_size: 64  # pixels
        path: ~/photos
        name: CIFAR10
        root: ~/torchvision
        download: true
        options: {split: digits}
        image_column: file
        label_column: species
        multilabel: true
        channel_axis: last
        resize: pad
        background: black
        channels: 3  # channels
        range: [0, 4095]  # values of a pixel
        classes: {cat: pet, dog: pet, car: null}
        bad_files: skip
        validation: 0.2  # share
        test: 0.2  # share
        train_limit: 5000  # images
        metric: balanced_accuracy
        class_weights: balanced
        sampling: balanced
        augment: trivial
        flip: false
        crop_padding: 4  # pixels
        seed: 0
        cache: /scratch/images
        cache_limit: 50  # GiB
    """

    dataset: str = "digits"
    image_size: Side | tuple[Side, Side] = 32
    path: str | None = None
    name: str | None = None
    root: str | None = None
    download: bool = False
    options: dict[str, Any] = {}
    image_column: str | None = None
    label_column: str | list[str] | None = None
    multilabel: bool = False
    channel_axis: Literal["auto", "first", "last"] = "auto"
    resize: Literal["squash", "crop", "pad"] = "squash"
    background: str = "white"
    channels: Literal[1, 3] | None = None
    range: tuple[float, float] | None = None
    classes: list[str] | dict[str, str | None] | None = None
    bad_files: Literal["fail", "skip"] = "fail"
    validation: float = Field(default=0.2, gt=0, lt=1)
    test: float | None = Field(default=None, gt=0, lt=1)
    train_limit: int | None = Field(default=None, ge=2)
    metric: str | None = None
    class_weights: Literal["none", "balanced"] = "none"
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    augment: str = "crop_flip"
    flip: bool | None = None
    crop_padding: int | None = Field(default=None, ge=0, le=1024)
    seed: int = Field(default=0, ge=0)
    cache: str | None = None
    cache_limit: float = Field(default=50.0, gt=0)

    @field_validator("image_size", mode="before")
    @classmethod
    def _sides(cls, image_size: Any) -> Any:
        sides = list(image_size) if isinstance(image_size, list | tuple) else [image_size, image_size]
        if len(sides) != 2 or any(not isinstance(side, int) or not LEAST <= side <= MOST for side in sides):
            raise ValueError(f"should be a number of pixels, {LEAST} to {MOST}, or two of them, [height, width]")
        return either(sides)

    @field_validator("classes", mode="before")
    @classmethod
    def _names(cls, classes: Any) -> Any:
        """YAML reads ``0``, ``1.5`` and ``no`` as other things than names."""
        if classes in ([], {}):
            raise ValueError("it names no class: leave it out to keep all")
        if isinstance(classes, dict):
            return {_text(key): None if value is None else _text(value) for key, value in classes.items()}
        return [_text(name) for name in classes] if isinstance(classes, list) else classes

    @field_validator("background")
    @classmethod
    def _colour(cls, background: str) -> str:
        ImageColor.getrgb(background)
        return background

    @model_validator(mode="after")
    def _fits(self) -> DataSettings:
        given = {key for key in OWNED if getattr(self, key) != type(self).model_fields[key].default}
        if "dataset" not in self.model_fields_set and given:
            raise DataError(
                f"data.dataset is missing: which kind of set is it{_proposal(self.path, given)}",
                where=("data", min(given, key=("path", "name", "root").__contains__)), choices=_known(),
            )  # fmt: skip
        kind = "module:function" if ":" in self.dataset else self.dataset
        if kind not in SOURCE_KEYS:
            raise DataError(
                f"data.dataset cannot be {self.dataset!r}", where=("data", "dataset"), value=self.dataset,
                choices=_known(),
            )  # fmt: skip
        strange = sorted(given - set(SOURCE_KEYS[kind]))
        if strange:
            takes = ", ".join(SOURCE_KEYS[kind]) or "none of them"
            others = " or ".join(name for name, keys in SOURCE_KEYS.items() if strange[0] in keys)
            raise DataError(
                f"data.{strange[0]} does not belong to the data set {self.dataset!r}, which takes {takes}; it belongs "
                f"to {others}",
                where=("data", strange[0]),
            )
        if ":" not in self.augment and self.augment not in AUGMENT:
            raise DataError(
                f"data.augment cannot be {self.augment!r}", where=("data", "augment"), value=self.augment,
                choices=(*AUGMENT, "module:function"),
            )  # fmt: skip
        if self.metric is not None and ":" not in self.metric and self.metric not in METRICS:
            raise DataError(
                f"data.metric cannot be {self.metric!r}", where=("data", "metric"), value=self.metric,
                choices=(*METRICS, "module:function"),
            )  # fmt: skip
        if self.augment == "none" and (self.flip or self.crop_padding):
            key = "flip" if self.flip else "crop_padding"
            raise DataError(f"data.{key} contradicts data.augment: none", where=("data", key))
        if self.crop_padding is not None and self.crop_padding >= min(pair(self.image_size)):
            raise DataError(
                f"data.crop_padding {self.crop_padding} would crop beyond images of {shown(self.image_size)}: some "
                "would be nothing but border",
                where=("data", "crop_padding"),
            )
        if self.range is not None and not self.range[0] < self.range[1]:
            raise DataError(f"data.range must rise, not {list(self.range)}", where=("data", "range"))
        if self.test is not None and self.test + self.validation >= 1:
            raise DataError(
                f"data.test {self.test:g} and data.validation {self.validation:g} leave nothing to train on",
                where=("data", "test"),
            )
        return self

    @property
    def read_by(self) -> list[str]:
        """Everything here that decides what the tensors hold, for the key of the cache."""
        keys = (*READ_BY, *SOURCE_KEYS["module:function" if ":" in self.dataset else self.dataset])
        chosen = {key: getattr(self, key) for key in keys if key != "download"}
        return [self.dataset, json.dumps(chosen, sort_keys=True, default=str)]

    def placed(self, folder: Path) -> DataSettings:
        """With ``path``, ``root`` and ``cache`` made absolute: variables filled in, relative to ``folder``.

        Raises:
            DataError: An empty path, or an environment variable that is not set.
        """
        changes = {}
        for key in ("path", "root", "cache"):
            given = getattr(self, key)
            if given is None:
                continue
            if not given.strip():
                raise DataError(f"data.{key} is empty: leave it out, or name a file or folder", where=("data", key))
            filled = os.path.expanduser(os.path.expandvars(given))
            unset = re.search(r"\$(\w+|\{\w+\})", filled)
            if unset:
                raise DataError(f"data.{key}: the environment variable {unset[0]} is not set", where=("data", key))
            if filled.startswith("~"):
                raise DataError(f"data.{key}: whose home is {filled!r}? It is not known here", where=("data", key))
            here = folder / filled
            try:
                elsewhere = not here.exists() and Path(filled).exists()
            except OSError as error:  # a name that is too long, a folder that is not ours to look into
                raise DataError(f"data.{key} cannot be read: {error.strerror}", where=("data", key)) from None
            changes[key] = str((Path(filled) if elsewhere else here).absolute())
        return self.model_copy(update=changes)


def _text(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _known() -> list[str]:
    return list(SOURCE_KEYS)


def _proposal(path: str | None, given: set[str]) -> str:
    """The kind of the path, in words."""
    if path is None:
        fitting = [name for name, keys in SOURCE_KEYS.items() if given <= set(keys)]
        return f" ({' or '.join(fitting)})?" if fitting else "?"
    place = Path(os.path.expanduser(os.path.expandvars(path)))
    endings = {
        ".csv": "csv",
        ".tsv": "csv",
        ".npz": "npz",
        ".npy": "npy",
        ".tar": "image_folder",
        ".zip": "image_folder",
    }
    kind = endings.get(place.suffix.lower())
    if kind is None and place.suffix == "":
        kind = "image_folder"
    if kind is None:
        close = difflib.get_close_matches(place.suffix, endings, n=1)
        kind = endings[close[0]] if close else None
    return f"? {path} looks like dataset: {kind}" if kind else "?"
