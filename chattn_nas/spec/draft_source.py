"""Finds the source and the task for the data of a first spec."""

from __future__ import annotations

import os
import shlex
from itertools import islice
from pathlib import Path
from typing import Any

from chattn_nas.data.kinds import ARCHIVES, ENDINGS, TASKS, DataKind, kind_of
from chattn_nas.data.layout import is_image
from chattn_nas.data.sources.place import existing
from chattn_nas.errors import DataError

#: What ``--task`` can be: the source of a folder or archive for it.
SOURCES = {"classification": ("image_folder",), "multilabel": (), "segmentation": ("masks",),
           "detection": ("coco", "yolo", "voc"), "super_resolution": ("patches",)}  # fmt: skip

#: Endings of tables.
TABLES = tuple(ending for ending, dataset in ENDINGS.items() if dataset == "csv")
#: Entries of a folder beside the one that was named that are looked at.
LOOKED_AT = 50


def look(data: str) -> DataKind:
    """Recognise the kind of set at a place.

    Raises:
        DataError: There is no set, or it is of another kind.
    """
    if data == "digits":
        return DataKind("digits", seen="digits are images of ten classes")
    kind = kind_of(existing(data))
    if kind is None:
        raise DataError(
            f"--data {data}: not a kind that init knows; possible are digits, a folder of images, and files that end "
            f"in {', '.join((*ARCHIVES, *ENDINGS))}; other sources (torchvision, hf, webdataset) are written into a "
            "spec by hand"
        )
    return kind


def table_inside(data: str) -> str:
    """What may give the classes of the pictures in a folder: the one table in it."""
    place = Path(os.path.expanduser(data))
    tables = [one.name for one in place.iterdir() if one.suffix.lower() in TABLES] if place.is_dir() else []
    if len(tables) != 1:
        return ""
    return f"; a table lies there: did you mean --data {shlex.quote(str(Path(data) / tables[0]))}?"


def _meant(data: str) -> str:
    """What may give the classes of a folder of pictures: a table beside it, else the folder above."""
    place = Path(data)
    if not (whole := Path(os.path.abspath(os.path.expanduser(data)))).is_dir():
        return ""
    above = place.parent if place.name else Path("..")
    try:
        beside = [one for one in islice(whole.parent.iterdir(), LOOKED_AT) if one != whole]
        tables = [one.name for one in beside if one.suffix.lower() in TABLES]
        if len(tables) == 1:
            return f" (a table lies beside it: did you mean --data {shlex.quote(str(above / tables[0]))}?)"
        folders = [one for one in beside if one.is_dir()]
        if not any(is_image(file.name) for one in folders for file in islice(one.iterdir(), LOOKED_AT)):
            return ""
    except OSError:
        return ""
    return f" (its neighbours hold images too: did you mean --data {shlex.quote(str(above))}?)"


def source_of(data: str, folder: Path, task: str | None = None) -> tuple[dict[str, Any], str]:
    """The keys of ``data`` that name this set in a spec in ``folder``, and the task.

    Args:
        data: The set as the user names it.
        folder: Folder of the spec.
        task: The task that the user wants; ``None`` takes the one the set is made for.

    Raises:
        DataError: There is no such set, or it does not suit the task.
    """
    if task is not None and task not in SOURCES:
        raise DataError(f"--task {task}: there is no such task", value=task, choices=tuple(SOURCES))
    kind = look(data)
    if task is not None and kind.also in SOURCES[task]:
        kind = DataKind(kind.also)
    table = kind.dataset in (*ENDINGS.values(), "digits")
    if task is None and kind.doubt:
        raise DataError(f"--data {data}: {kind.doubt}")
    if task is None and kind.dataset is None:
        meant = _meant(data)
        raise DataError(
            f"--data {data}: {kind.seen}{meant}; pictures alone are for --task super_resolution, and how the data of "
            "other tasks lie is told by 'chattn-nas docs data'"
        )
    if task == "multilabel" and kind.dataset not in ("csv", "npz", "npy"):
        raise DataError(
            f"--task multilabel: several labels per image stand in a table (.csv, .tsv) or arrays, not {data}"
        )
    if task == "super_resolution" and not table:
        kind = DataKind("patches", kind.options if kind.dataset == "patches" else {"scale": 2})
    elif task is not None and (task in TASKS.values() if table else kind.dataset not in SOURCES[task]):
        wanted = {"segmentation": "masks: folders images and masks, or img_dir and ann_dir, are looked for",
                  "detection": "boxes: COCO's JSON, YOLO's texts or Pascal VOC's XML are looked for",
                  "classification": "class folders"}  # fmt: skip
        other = f"; it looks like {kind.task}" if kind.task not in (None, task) else f"; {kind.seen}" * bool(kind.seen)
        raise DataError(f"--task {task}: {data} has no {wanted.get(task, 'larger pictures')}{other}", value=task)
    keys: dict[str, Any] = {"dataset": kind.dataset}
    if kind.dataset != "digits":
        place = Path(os.path.expanduser(data))
        inside = place.is_absolute() or folder.resolve() == Path.cwd()
        keys["path"] = str(place) if inside else os.path.relpath(place, folder)
    if kind.options:
        keys["options"] = dict(kind.options)
    return keys, task or kind.task or "classification"
