"""Images with boxes as YOLO's text files have them: a line ``class x y width height`` per object, in shares.

Supported are ``images/train/`` beside ``labels/train/``, ``train/images/`` beside ``train/labels/``, both without
parts, and texts beside their images. Names of classes, and folders of parts, stand in ``data.yaml``; names also in
``classes.txt``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any

import yaml

from chattn_nas.data.boxes import Box
from chattn_nas.data.layout import PARTS, is_image
from chattn_nas.data.pictures import Found, Listing
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.boxed import Boxed, Flat, find_boxed, listing_of_boxed
from chattn_nas.data.sources.class_names import distinct, names_in
from chattn_nas.data.tree import Entry, Tree
from chattn_nas.errors import DataError
from chattn_nas.plural import first_of, plural

IMAGES, LABELS = "images", "labels"
#: Files that name the classes, one a line.
NAMES = ("classes.txt", "obj.names", "labels.txt", "names.txt", "class_names.txt")
#: Texts that are no labels.
NO_LABELS = (*NAMES, "readme.txt", "readme.dataset.txt", "readme.roboflow.txt", "train.txt", "val.txt", "test.txt")
#: How far a share may lie beyond 0 or 1 by rounding; what it comes to in pixels is looked at beside the image.
ROUNDED = 0.05


def find_yolo(settings: DataSettings) -> Found:
    """Find the files; none is read.

    Raises:
        DataError: There is no such folder.
    """
    return find_boxed(settings, _listing)


def _listing(tree: Tree, root: str, settings: DataSettings) -> Listing:
    images = [entry for entry in tree.entries if is_image(entry.path)]
    texts = {
        entry.path: entry for entry in tree.entries
        if entry.path.endswith(".txt") and PurePosixPath(entry.path).name.lower() not in NO_LABELS
    }  # fmt: skip
    if not images:
        raise DataError(f"there are no images in {root}", where=("path",))
    data_yaml = _data_yaml(tree)
    names, said = _names(tree, data_yaml)
    parts = _parts(images, data_yaml, said)
    labels = {entry.path: next((one for one in labels_of(entry.path) if one in texts), None) for entry in images}
    if not any(labels.values()):
        raise DataError(
            f"no image of {root} has labels: those of {images[0].path} are looked for in "
            f"{labels_of(images[0].path)[0]}",
            where=("path",),
        )
    lonely = sorted(texts.keys() - set(labels.values()))
    if lonely:
        listed = first_of(lonely)
        if settings.bad_files == "fail":
            raise DataError(
                f"{len(lonely)} label file{'s have' if len(lonely) > 1 else ' has'} no image in {root}: {listed}; add "
                "the images, or leave them out with data.bad_files: skip",
                where=("path",),
            )
        said.append(f"without an image, left out: {plural(len(lonely), 'label file')}: {listed}")
    chosen = {entry.path: entry for entries in parts.values() for entry in entries}
    flat = Flat(settings)

    def read(entry: Entry) -> Boxed:
        label = labels[entry.path]
        if label is None:
            return Boxed(entry=entry, file=tree.name(entry))
        called = tree.name(texts[label])
        return Boxed(entry=entry, file=called, boxes=_boxes(tree, texts[label], called, names, flat))

    with ThreadPoolExecutor() as pool:
        every = dict(zip(chosen, pool.map(read, chosen.values())))
    said += flat.said()
    bare = sum(labels[path] is None for path in chosen)
    if bare:
        said.append(f"{bare} image{'s have' if bare > 1 else ' has'} no label file")
    if not names:
        top = max((box.label for one in every.values() for box in one.boxes), default=0)
        names = [str(number) for number in range(top + 1)]
        said.append("classes are not named (data.yaml or classes.txt would): they are called by their numbers")
    boxed = {part: [every[entry.path] for entry in entries] for part, entries in parts.items()}
    return listing_of_boxed(tree, boxed, names, settings, root=root, said=said, word="line", shares=True)


def labels_of(image: str) -> list[str]:
    """Possible label files of an image: with its last folder ``images`` replaced by ``labels``, or beside it."""
    text = PurePosixPath(image).with_suffix(".txt")
    places = [str(text)]
    folders = list(text.parts[:-1])
    for index in reversed(range(len(folders))):
        if folders[index].lower() == IMAGES:
            places.insert(0, "/".join([*folders[:index], LABELS, *folders[index + 1 :], text.name]))
            break
    return places


def _data_yaml(tree: Tree) -> dict[str, Any]:
    """The content of a YAML file that names classes or parts; ``file`` is its own path."""
    for entry in tree.entries:
        if not entry.path.lower().endswith((".yaml", ".yml")):
            continue
        try:
            content = yaml.safe_load(tree.read(entry))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise DataError(
                f"cannot read {tree.name(entry)}: {' '.join(str(error).split())}", where=("path",)
            ) from None
        if isinstance(content, dict) and {"names", "train"} & content.keys():
            return {**content, "file": entry.path}
    return {}


def _names(tree: Tree, facts: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The names of the classes, with a sentence on their origin; none if no file names them."""
    named = facts.get("names")
    if isinstance(named, dict):
        if set(named) != set(range(len(named))):
            raise DataError(f"{facts['file']} must name classes 0, 1, 2, ..., not {', '.join(map(str, named))}",
                            where=("path",))  # fmt: skip
        named = [named[index] for index in range(len(named))]
    if isinstance(named, list) and named:
        if facts.get("nc", len(named)) != len(named):
            raise DataError(
                f"{facts['file']} says nc: {facts['nc']} and names {plural(len(named), 'class')}", where=("path",)
            )
        return distinct(list(map(str, named)), facts["file"]), [f"classes are named by {facts['file']}"]
    for entry in tree.entries:
        if PurePosixPath(entry.path).name.lower() in NAMES:
            return names_in(tree, entry), [f"classes are named by {entry.path}"]
    return [], []


def _parts(images: Sequence[Entry], facts: dict[str, Any], said: list[str]) -> dict[str, list[Entry]]:
    """Find parts by the folders in ``data.yaml``, else by names of folders, such as ``train`` and ``val2017``.

    Raises:
        DataError: Two parts share images.
    """
    by_part: dict[str, list[Entry]] = {}
    held: set[str] = set()
    for key in ("train", "val", "test"):
        folders = facts.get(key)
        each = [str(one) for one in (folders if isinstance(folders, list) else [folders]) if one]
        inside = [entry for entry in images if any(_below(entry.path, folder) for folder in each)]
        twice = [entry.path for entry in inside if entry.path in held]
        if twice and len(twice) < len(inside):
            raise DataError(
                f"{facts['file']} names {plural(len(twice), 'image')} for {key} and for another part, such as "
                f"{twice[0]}: a score on images that were trained on says nothing",
                where=("path",),
            )
        if twice:  # small example sets do so
            said.append(f"{facts['file']} says {key}: {each[0]}, whose images are those of another part: "
                        "it is left out")  # fmt: skip
        elif inside:
            by_part[PARTS[key]] = inside
            held.update(entry.path for entry in inside)
        elif each:
            said.append(f"{facts['file']} says {key}: {each[0]}, where no image lies")
    if "train" not in by_part:
        by_part, held = {}, set()
    named_parts, aside = set(by_part), 0
    for entry in images:
        if entry.path in held:
            continue
        words = [folder.lower().rstrip("0123456789") for folder in entry.path.split("/")[:-1]]
        part = next((PARTS[word] for word in words if word in PARTS), "train")
        if part in named_parts:
            aside += 1
        else:
            by_part.setdefault(part, []).append(entry)
    if aside:
        said.append(
            f"{plural(aside, 'image')} in no folder that {facts['file']} names {'is' if aside == 1 else 'are'} left out"
        )
    return by_part


def _below(path: str, folder: str) -> bool:
    """Whether an image lies in a folder that is given by any path, of which the last components count."""
    words = [word for word in folder.replace("\\", "/").split("/") if word not in ("", ".", "..")]
    return any(f"/{path}".find(f"/{'/'.join(words[start:])}/") >= 0 for start in range(max(1, len(words) - 1)))


def _boxes(tree: Tree, entry: Entry, called: str, names: Sequence[str], flat: Flat) -> list[Box]:
    """Read the objects of one image.

    Raises:
        DataError: A line is malformed.
    """
    try:
        lines = tree.read(entry).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"cannot read {called}: {error.strerror or error}", where=("path",)) from None
    except UnicodeDecodeError:
        raise DataError(f"cannot read {called}: it is not UTF-8 text", where=("path",)) from None
    every = [_box(line.split(), f"{called}:{at}", at, names, flat) for at, line in enumerate(lines, 1) if line.strip()]
    return [box for box in every if box is not None]


def _box(words: list[str], place: str, at: int, names: Sequence[str], flat: Flat) -> Box | None:
    try:
        label, *numbers = (float(word) for word in words)
    except ValueError:
        raise DataError(
            f"{place}: {' '.join(words)[:80]!r} holds something that is no number", where=("path",)
        ) from None
    outline = len(numbers) >= 6 and len(numbers) % 2 == 0
    if len(numbers) != 4 and not outline:
        raise DataError(
            f"{place}: a line is a class and x, y, width and height of a box, or an outline x1 y1 x2 y2 ..., not "
            f"{plural(len(words), 'number')}",
            where=("path",),
        )
    if not label.is_integer() or label < 0 or (names and label >= len(names)):
        there = "there is 1 class, 0" if len(names) == 1 else f"there are {len(names)} classes, 0 to {len(names) - 1}"
        many = there if names else "classes are numbers from 0 on"
        raise DataError(f"{place}: there is no class {words[0]}: {many}", where=("path",))
    if outline:
        corners = min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
    else:
        x, y, width, height = numbers
        corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if not all(map(math.isfinite, corners)):
        raise DataError(f"{place}: the box {' '.join(words[1:])} is no box", where=("path",))
    if corners[2] <= corners[0] or corners[3] <= corners[1]:
        flat.count(f"{place}: the box {' '.join(words[1:])} shows nothing")
        return None
    if max(corners) > 2 or max(numbers) > 1 + ROUNDED:
        raise DataError(
            f"{place}: {max(numbers):g} lies beyond the image: numbers are shares of its width and height, 0 to 1",
            where=("path",),
        )
    return Box(corners, int(label), at)
