"""Finds the source that a spec names."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from chattn_nas.data.pictures import Found
from chattn_nas.data.settings import DataSettings
from chattn_nas.errors import DataError

Source = Callable[[DataSettings], Found]

#: Function and module; imported when asked for, as some need packages that not everybody has.
SOURCES = {
    "digits": "digits",
    "image_folder": "image_folder",
    "csv": "table",
    "npz": "arrays",
    "npy": "arrays",
    "torchvision": "from_torchvision",
    "hf": "hugging_face",
    "webdataset": "shards",
    "masks": "masks",
    "patches": "patches",
    "coco": "coco",
    "yolo": "yolo",
    "voc": "voc",
}


def find_source(settings: DataSettings) -> Source:
    """Return the source for these settings.

    Raises:
        DataError: There is no such source.
    """
    if ":" in settings.dataset:
        from chattn_nas.data.sources.own import own

        return own
    if settings.dataset not in SOURCES:
        raise DataError(
            f"there is no data set {settings.dataset!r}", where=("dataset",), value=settings.dataset, choices=SOURCES
        )
    module = importlib.import_module(f"chattn_nas.data.sources.{SOURCES[settings.dataset]}")
    finder: Source = getattr(module, f"find_{settings.dataset}")
    return finder
