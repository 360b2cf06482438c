"""Any classification set of torchvision by the name of its class."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

from chattn_nas.data.pictures import Found, Listing
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.data_set import listing_of_sets, stamps_of
from chattn_nas.data.tree import stamp_of
from chattn_nas.errors import DataError

#: Mirrored, these are other signs.
NEVER_FLIPPED = ("MNIST", "SVHN", "USPS", "GTSRB", "Omniglot", "SEMEION", "RenderedSST2")


def find_torchvision(settings: DataSettings) -> Found:
    """Find the set, downloaded if the settings allow it.

    Raises:
        DataError: torchvision has no such set, or it is not on disk.
    """
    from torchvision import datasets

    known = sorted(
        name for name in datasets.__all__ if name[0].isupper() and name not in ("VisionDataset", "DatasetFolder")
    )
    by_case = {name.lower(): name for name in (*known, *(n for n in vars(datasets) if n[0].isupper()))}
    name = by_case.get((settings.name or "").lower())
    if name is None:
        raise DataError(
            f"torchvision has no data set {settings.name!r}", where=("name",), value=settings.name, choices=known
        )
    cls = getattr(datasets, name)
    takes = inspect.signature(cls).parameters
    strange = [key for key in settings.options if key not in takes]
    if strange:
        raise DataError(
            f"torchvision's {name} takes no option {strange[0]!r}", where=("options",), value=strange[0],
            choices=[key for key in takes if key not in ("root", "download", "transform", "target_transform")],
        )  # fmt: skip
    root = Path(settings.root or "data")
    shared: dict[str, Any] = {"root": str(root), "download": settings.download} | settings.options
    shared = {key: value for key, value in shared.items() if key in takes}
    sets = {
        part: data_set
        for part in ("train", "validation", "test")
        if (data_set := _part(cls, name, part, shared, takes))
    }
    said = [f"torchvision's {name} has no parts of its own"] if list(sets) == ["train"] else []

    def listing() -> Listing:
        """List the samples by part; called only if the set is not in the cache."""
        flip = not any(word in name for word in NEVER_FLIPPED)
        return listing_of_sets(sets, f"torchvision's {name}", settings, may_flip=flip, said=tuple(said))

    stamps = stamps_of(sets, f"torchvision's {name}")
    return Found([*stamps, *_files(root)] if "root" in takes else stamps, listing)


def _part(cls: Any, name: str, part: str, shared: dict[str, Any], takes: Any) -> Any:
    """A part of a set, or ``None`` if the set does not have it."""
    how: dict[str, Any] = {}
    if "train" in takes and "train" not in shared:
        if part == "validation":
            return None
        how = {"train": part == "train"}
    elif "split" in takes and "split" not in shared:
        how = {"split": "val" if part == "validation" else part}
    elif part != "train":
        return None
    try:
        return cls(**shared, **how)
    except (RuntimeError, OSError, ValueError, TypeError, KeyError) as error:
        if part != "train" and "split" in how:
            return None
        words = " ".join(str(error).split())
        way = "; data.download: true fetches it" if "download" in takes and not shared.get("download") else ""
        raise DataError(f"torchvision's {name} cannot be loaded: {words}{way}", where=("name",)) from None


def _files(root: Path) -> list[str]:
    stamps = []
    for folder, _, files in os.walk(root):
        for file in files:
            stamps.append(f"{folder}/{file} {stamp_of(os.stat(os.path.join(folder, file)))}")
    return sorted(stamps)
