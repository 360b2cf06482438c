"""Sets of the Hugging Face library ``datasets``, on disk or by name: images with labels, boxes or masks.

Boxes are a column of objects, each with ``bbox`` (left, top, width and height in pixels, as COCO's) and ``category``;
masks a second column of images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.classes import label, sorted_names
from chattn_nas.data.layout import part_of
from chattn_nas.data.pictures import Found, Items, Listing, Part
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.boxed import ImageBoxes
from chattn_nas.data.sources.item_targets import image_boxes, listing_of_masks, listing_of_objects
from chattn_nas.data.sources.place import path_of
from chattn_nas.data.sources.table import IMAGES, LABELS
from chattn_nas.errors import DataError, MissingExtraError

#: What a column of objects holds of each; COCO's names and usual others.
BBOX, CATEGORIES, CROWD = "bbox", ("category", "category_id", "categories", "label", "labels"), "iscrowd"


def find_hf(settings: DataSettings) -> Found:
    """Find a set that ``save_to_disk`` wrote (``path``), or one by name, downloaded if the settings allow it.

    Raises:
        MissingExtraError: ``datasets`` is not installed.
        DataError: There is no such set, or it holds no images with labels.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError(
            "the library 'datasets' is not installed: pip install 'chattn-nas[hf]'", where=("dataset",)
        ) from None
    loaded = _load(datasets, settings)
    sets = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    named: dict[str, Any] = {}
    for name, one in sets.items():
        part = part_of(str(name))
        if part is not None and part not in named:
            named[part] = one
    if "train" not in named:
        raise DataError(f"the set has no part to train on: {', '.join(map(str, sets))}", where=("name",))
    stamps = [f"{part} {one._fingerprint} {len(one)}" for part, one in named.items()]
    aside = [str(name) for name in sets if part_of(str(name)) is None]
    return Found(stamps, lambda: _listing(named, settings, datasets, aside))


def _load(datasets: Any, settings: DataSettings) -> Any:
    if (settings.path is None) == (settings.name is None):
        raise DataError("data set hf needs either a path or a name", where=("path",))
    try:
        if settings.path is not None:
            path = path_of(settings)
            if not Path(path).is_dir():
                raise DataError(f"there is no folder {path}", where=("path",))
            return datasets.load_from_disk(str(path))
        mode = None if settings.download else datasets.DownloadConfig(local_files_only=True)
        return datasets.load_dataset(settings.name, **settings.options, download_config=mode)
    except DataError:
        raise
    except Exception as error:  # the library raises whatever its many parts do
        words = " ".join(str(error).split())[:300]
        way = "" if settings.download or settings.path else "; data.download: true may fetch it"
        raise DataError(
            f"the set {settings.path or settings.name} cannot be loaded: {words}{way}",
            where=("path",) if settings.path else ("name",),
        ) from None


def _listing(sets: dict[str, Any], settings: DataSettings, datasets: Any, aside: list[str]) -> Listing:
    features = sets["train"].features
    image = settings.image_column or next((n for n, f in features.items() if isinstance(f, datasets.Image)), None)
    image = image or next((name for name in features if name.lower() in IMAGES), None)
    if image is None or image not in features:
        raise DataError(
            f"the set has no column of images{f' called {image!r}' if image else ''}", where=("image_column",),
            value=image or "image", choices=features,
        )  # fmt: skip
    requested = settings.label_column
    if isinstance(requested, list):
        raise DataError("data.label_column of the data set hf is one column", where=("label_column",))
    labelled = requested or next((n for n, f in features.items() if isinstance(f, datasets.ClassLabel)), None)
    labelled = labelled or next((name for name, feature in features.items() if _boxes_of(feature)), None)
    labelled = labelled or next((name for name in features if name.lower() in LABELS and name != image), None)
    labelled = labelled or next((n for n, f in features.items() if isinstance(f, datasets.Image) and n != image), None)
    if labelled is None or labelled not in features:
        raise DataError(
            f"the set has no column of labels{f' called {labelled!r}' if labelled else ''}", where=("label_column",),
            value=labelled or "label", choices=features,
        )  # fmt: skip
    images = {part: Items(_opener(one, image), np.arange(len(one)), f"{part} image ") for part, one in sets.items()}
    said = [f"{', '.join(aside)} of the set is left out"] if aside else []
    if boxes := _boxes_of(features[labelled]):
        objects, kinds = _boxes_by_part(
            {part: one[labelled] for part, one in sets.items()}, boxes, features[labelled], labelled
        )
        said.append(f"column {image!r} holds the images, {labelled!r} their boxes (left, top, width, height in pixels)")
        return listing_of_objects(images, objects, "the set", settings, names=kinds, said=said, threads=True)
    if isinstance(features[labelled], datasets.Image):
        masks = {part: Items(_opener(one, labelled), np.arange(len(one)), f"{part} mask ")
                 for part, one in sets.items()}  # fmt: skip
        said.append(f"column {image!r} holds the images, {labelled!r} their masks")
        return listing_of_masks(images, masks, "the set", names=None, said=tuple(said), threads=True)
    targets, names = _targets({part: one[labelled] for part, one in sets.items()}, features[labelled], labelled)
    said.insert(0, f"column {image!r} holds the images, {labelled!r} their labels")
    return Listing(
        parts={part: Part(one, targets[part]) for part, one in images.items()}, class_names=tuple(names),
        said=tuple(said),
    )  # fmt: skip


def _fields(feature: Any) -> dict[str, Any]:
    """The fields of a list of records, however its type is written; none if it is something else."""
    inner = getattr(feature, "feature", feature[0] if isinstance(feature, list) and feature else feature)
    return dict(inner) if isinstance(inner, dict) else {}


def _boxes_of(feature: Any) -> tuple[str, str] | None:
    """The names of boxes and categories in a column of objects."""
    fields = _fields(feature)
    category = next((name for name in CATEGORIES if name in fields), None)
    return (BBOX, category) if BBOX in fields and category else None


def _boxes_by_part(
    columns: dict[str, Any], keys: tuple[str, str], feature: Any, name: str
) -> tuple[dict[str, list[ImageBoxes]], list[str] | None]:
    """The boxes of every image, and the names of the classes if the set has them."""
    bbox, category = keys
    kind = _fields(feature)[category]
    names = getattr(getattr(kind, "feature", kind), "names", None)
    objects: dict[str, list[ImageBoxes]] = {}
    for part, rows in columns.items():
        objects[part] = []
        for number, row in enumerate(rows):
            if isinstance(row, dict):
                corners, labels, crowd = row[bbox], row[category], row.get(CROWD)
            else:
                corners, labels = ([one[key] for one in row] for key in keys)
                crowd = [one.get(CROWD) for one in row]
            place = f"{part} image {number}, column {name!r}"
            try:
                sides = np.asarray(corners, np.float64).reshape(-1, 4)
            except (ValueError, TypeError):
                raise DataError(f"{place}: {bbox} is four numbers for every object", where=("label_column",)) from None
            sides[:, 2:] += sides[:, :2]
            objects[part].append(image_boxes(sides, labels, place, crowd=crowd, names=names))
    return objects, names


def _opener(one: Any, column: str) -> Any:
    images = one.select_columns([column])
    return lambda index: images[index][column]


def _targets(columns: dict[str, Any], feature: Any, name: str) -> tuple[dict[str, NDArray[Any]], list[str]]:
    inner = getattr(feature, "feature", None)
    values = {part: list(column) for part, column in columns.items()}
    if inner is not None:  # a list of labels per image
        met = {one for part in values.values() for row in part for one in row}
        names = list(getattr(inner, "names", None) or sorted_names(set(map(str, met))))
        hot = {}
        for part, rows in values.items():
            hot[part] = np.zeros((len(rows), len(names)), np.uint8)
            for number, row in enumerate(rows):
                index = row if getattr(inner, "names", None) else label([str(one) for one in row], names)
                hot[part][number, list(index)] = 1
        return hot, names
    class_names = getattr(feature, "names", None)
    if class_names:
        numbers = {part: np.array(rows, np.int64) for part, rows in values.items()}
        without = [part for part, labels in numbers.items() if (labels < 0).any()]
        if without:
            raise DataError(f"the {without[0]} images have no labels (-1 in {name!r})", where=("label_column",))
        return numbers, list(class_names)
    if any(not isinstance(one, str | int) for rows in values.values() for one in rows):
        raise DataError(f"column {name!r} holds no labels", where=("label_column",))
    names = sorted_names({str(one) for rows in values.values() for one in rows})
    return {part: label([str(one) for one in rows], names) for part, rows in values.items()}, names
