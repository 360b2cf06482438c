"""Recognises the kind of data set in a folder or file by its layout."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from chattn_nas.data.layout import FolderLayout, NoClassFoldersError, find_layout, is_image
from chattn_nas.data.sources.coco import OTHERS
from chattn_nas.data.sources.masks import grouped, without_word
from chattn_nas.data.sources.patches import high_and_low, scales_between, size_of
from chattn_nas.data.sources.yolo import data_yaml_of, labels_by_image, labels_of, texts_in
from chattn_nas.data.tree import Entry, Tree, open_tree
from chattn_nas.errors import DataError
from chattn_nas.plural import plural

#: What is learned from a source, where that is no label.
TASKS = {"masks": "segmentation", "coco": "detection", "yolo": "detection", "voc": "detection",
         "patches": "super_resolution"}  # fmt: skip
#: Sources by the ending of a file; a folder and an archive are looked into.
ENDINGS = {".csv": "csv", ".tsv": "csv", ".npz": "npz", ".npy": "npy"}
ARCHIVES = (".tar", ".zip")
#: What a COCO file of boxes holds, and what shows that it is meant to be one, whatever it lacks.
COCO_KEYS = (b'"image_id"', b'"category_id"')
#: Files that are looked into.
LOOKED = 50


@dataclass(frozen=True)
class DataKind:
    """A kind of data set.

    Attributes:
        dataset: The value for ``data.dataset``; ``None`` if there are only pictures.
        options: Suitable ``data.options``.
        seen: What the set holds, to explain why it does not suit a task.
        doubt: Why it may be meant for another task, which the user has to say.
        also: Another value for ``data.dataset`` that suits the same files.
    """

    dataset: str | None
    options: Mapping[str, Any] = field(default_factory=dict)
    seen: str = ""
    doubt: str = ""
    also: str | None = None

    @property
    def task(self) -> str | None:
        """The task for which such a set is made."""
        return self.dataset and TASKS.get(self.dataset, "classification")


def kind_of(path: Path) -> DataKind | None:
    """The kind of set at a path; ``None`` if its ending is unknown. Only a few files are read.

    Args:
        path: An existing file or folder.

    Raises:
        DataError: It cannot be opened, or holds no image.
    """
    if not path.is_dir() and path.suffix.lower() not in ARCHIVES:
        ending = ENDINGS.get(path.suffix.lower())
        return ending and DataKind(ending)  # type: ignore[return-value]
    tree = open_tree(path)
    images = [entry for entry in tree.entries if is_image(entry.path)]
    if not images:
        find_layout(tree, str(path))  # says so
    if _is_coco(tree):
        return DataKind("coco")
    if _is_yolo(tree, images):
        return DataKind("yolo")
    pictures, masks, _ = grouped(tree, str(path))
    has_masks = bool(pictures.get("train") and any(masks.values()))
    if _is_voc(tree):
        doubt = "it holds boxes (.xml) and masks: say --task detection or --task segmentation" if has_masks else ""
        return DataKind("voc", doubt=doubt, also="masks" if has_masks else None)
    if has_masks:
        return DataKind("masks")
    with suppress(DataError):  # two files of one name may be images of two classes
        if _names_parts(tree, images):
            return DataKind("yolo")  # whose labels are missing, or lie elsewhere
        if (scale := _paired(tree, str(path))) is not None:
            return DataKind("patches", {"scale": scale})
    foreign = _foreign(tree)
    doubt = _masks_beside(images)
    try:
        layout = find_layout(tree, str(path))
    except NoClassFoldersError:  # other errors are of class folders in which something is wrong
        seen = f"{plural(len(images), 'image')}, but no class folders, masks or boxes{foreign}"
        return DataKind(None, seen=seen, doubt=doubt)
    doubt = doubt or _masks_as_class(tree, layout)
    return DataKind("image_folder", seen=f"it holds images in class folders{foreign}", doubt=doubt)


def pictures_at(path: Path) -> tuple[dict[str, int], int]:
    """Number of high-resolution pictures in every part, and the shorter sides of some, from their headers.

    Raises:
        DataError: There are none.
    """
    tree = open_tree(path)
    parts = high_and_low(tree, str(path), 0)[0]
    images = [entry for pictures in parts.values() for entry in pictures.values()]
    if not images:
        raise DataError(f"there are no images in {path}", where=("path",))
    side = min(min(size_of(tree, one)) for one in images[:: max(1, len(images) // LOOKED)])
    return {part: len(pictures) for part, pictures in parts.items()}, side


def _is_coco(tree: Tree) -> bool:
    files = [entry for entry in tree.entries if entry.path.lower().endswith(".json")]
    files = [entry for entry in files if not PurePosixPath(entry.path).name.lower().startswith(OTHERS)]
    for entry in files[:LOOKED]:
        content = _content(tree, entry)
        if all(key in content for key in COCO_KEYS):
            return True
    return False


def _is_yolo(tree: Tree, images: list[Entry]) -> bool:
    """Whether an image's text holds at least four numbers and what may be a class; an empty one means no objects."""
    texts = texts_in(tree)
    mine = [texts[label] for label in labels_by_image(images, texts).values() if label is not None]
    for entry in mine[:LOOKED]:
        words = re.split(rb"[\s,;]+", _content(tree, entry).strip().split(b"\n")[0])
        if words[0]:
            return len(words) >= 5 and all(_is_number(word) for word in words[1:])
    return bool(mine)


def _names_parts(tree: Tree, images: list[Entry]) -> bool:
    """Whether a file names classes and parts, and images lie as YOLO's do.

    Raises:
        DataError: The file cannot be read.
    """
    return any(len(labels_of(image.path)) > 1 for image in images) and {"names", "train"} <= data_yaml_of(tree).keys()


def _is_voc(tree: Tree) -> bool:
    files = [entry for entry in tree.entries if entry.path.lower().endswith(".xml")]
    return any(b"<bndbox" in _content(tree, entry) for entry in files[:LOOKED])


def _masks_beside(images: list[Entry]) -> str:
    """What to say of files that are named as masks of others beside them, as a_mask.png is of a.png."""
    stems = {str(PurePosixPath(entry.path).with_suffix("")): entry.path for entry in images}
    masks = [path for stem, path in stems.items() if (bare := without_word(stem)) != stem and bare in stems]
    if not masks or 3 * len(masks) < len(stems):
        return ""
    return (
        f"{len(masks)} of {plural(len(images), 'image')} are named as masks of others beside them ({masks[0]}): for "
        "--task segmentation put them into folders images and masks; for another task take them out, or name it"
    )


def _masks_as_class(tree: Tree, layout: FolderLayout) -> str:
    """What to say of two folders with the same names and sizes, of which one has no colours."""
    folders: dict[str, dict[str, Entry]] = {}
    for entry, name in layout.parts["train"]:
        folders.setdefault(name, {})[PurePosixPath(entry.path).stem] = entry
    if len(folders) != 2:
        return ""
    (one, first), (two, second) = folders.items()
    if first.keys() != second.keys():
        return ""
    grey = list[tuple[bool, ...]]()
    for stem in list(first)[:: max(1, len(first) // LOOKED)]:
        try:
            with Image.open(BytesIO(tree.read(first[stem]))) as a, Image.open(BytesIO(tree.read(second[stem]))) as b:
                if a.size != b.size:
                    return ""
                grey.append(tuple(image.mode in ("1", "L", "P", "I;16", "I") for image in (a, b)))
        except Exception:  # whatever a broken file makes Pillow raise; reading it reports that
            continue
    if not grey or len(set(grey)) > 1 or sum(grey[0]) != 1:
        return ""
    return (
        f"{one}/ and {two}/ hold files of the same names and sizes, with colours and without: if these are images and "
        "their masks, call the folders images and masks; if they are two classes, say --task classification"
    )


def _paired(tree: Tree, root: str) -> int | None:
    """The scale of the high-resolution pictures, if most have a low-resolution one."""
    high, low = high_and_low(tree, root, 0)
    names = [(part, name) for part, pictures in high.items() for name in pictures]
    pairs = [(high[part][name], low[part][name]) for part, name in names if name in low.get(part, {})]
    if not pairs or 2 * len(pairs) < len(names):
        return None
    large, small = size_of(tree, pairs[0][0]), size_of(tree, pairs[0][1])
    return next(iter(scales_between(large, small)), None)


def _foreign(tree: Tree) -> str:
    """Name annotations in a format that is not supported."""
    endings = Counter(PurePosixPath(entry.path).suffix.lower() for entry in tree.entries)
    if endings[".xml"]:
        return f"; its {endings['.xml']} .xml files hold no boxes as Pascal VOC has them"
    files = [entry for entry in tree.entries if entry.path.lower().endswith(".json")][:1]
    for entry in files:
        try:
            held = json.loads(_content(tree, entry))
        except ValueError:
            continue
        if isinstance(held, dict) and "shapes" in held:
            return f"; its {endings['.json']} .json files are labelme's: convert them to COCO's JSON or to masks"
    return ""


def _content(tree: Tree, entry: Entry) -> bytes:
    try:
        return tree.read(entry)
    except OSError:
        return b""


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
