"""Finds the class folders and parts in a tree of images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from PIL import Image

from chattn_nas.data.tree import Entry, Tree, readable
from chattn_nas.errors import DataError
from chattn_nas.plural import first_of, plural

#: Names of the parts in folders, columns and files, in any case.
PARTS = {
    "train": "train", "training": "train", "trn": "train",
    "validation": "validation", "val": "validation", "valid": "validation", "dev": "validation",
    "test": "test", "testing": "test", "tst": "test", "eval": "test",
}  # fmt: skip
#: Image files that Pillow cannot read: they are named as bad, not passed over.
FOREIGN = {".heic", ".heif", ".raw", ".cr2", ".nef", ".arw", ".dng", ".svg", ".jxl"}


#: What an exported network's ``model.py`` writes beside an image.
ANSWER = re.compile(r"(.+)\.(?:mask|boxes|x[234])\.png")


class NoClassFoldersError(DataError):
    """Images that lie in no folder of their class."""


@dataclass
class FolderLayout:
    """The files of every part with the names of their classes.

    Attributes:
        parts: Files and class names.
        folders: Class folders of every part, including those without images.
        said: How the layout was understood.
    """

    parts: dict[str, list[tuple[Entry, str]]] = field(default_factory=dict)
    folders: dict[str, set[str]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def part_of(name: str) -> str | None:
    """The part that a name of a folder, file or column means; it may contain a year, as COCO's ``val2017`` does."""
    return PARTS.get(re.sub(r"[-_ ]?(19|20)\d\d$", "", name.lower()))


def is_image(path: str) -> bool:
    """Whether a file is an image, by the ending of its name."""
    ending = PurePosixPath(path).suffix.lower()
    Image.init()
    return ending in FOREIGN or (ending in Image.EXTENSION and ending not in (".pdf", ".ps", ".eps", ".h5", ".hdf"))


def answers(entries: Iterable[Entry], said: list[str]) -> set[str]:
    """Paths of pictures that an exported network wrote beside its images, which are no images of the set.

    ``photo.boxes.png`` is one beside ``photo.jpg``, as are ``.mask.png`` and ``.x2.png``; ``said`` takes a sentence.
    """
    images = [PurePosixPath(entry.path) for entry in entries if is_image(entry.path)]
    stems = {str(path.with_suffix("")) for path in images}
    written = [str(path) for path in images if (name := ANSWER.fullmatch(str(path))) and name[1] in stems]
    if written:
        said.append(f"left out, as written by an exported network: {first_of(written)}")
    return set(written)


def find_layout(tree: Tree, root: str) -> FolderLayout:
    """Find parts and classes.

    Supported are ``<part>/<class>/...``, ``<class>/<part>/...`` and ``<class>/...``, perhaps inside one more folder,
    with any usual names of parts.

    Args:
        tree: The files.
        root: The place as the user knows it.

    Raises:
        DataError: There is no class folder, or two folders claim to be one part.
    """
    images = [entry for entry in tree.entries if is_image(entry.path)]
    if not images:
        there = f": it holds {plural(len(tree.entries), 'file')} of other kinds" if tree.entries else ": it is empty"
        raise DataError(f"there are no images in {root}{there}", where=("path",))
    layout = FolderLayout()
    _say_others(tree, layout)
    paths = [entry.path.split("/") for entry in images]
    folders = [folder.split("/") for folder in sorted(tree.folders)]
    depth = _wrapping(paths)
    if depth:
        root = f"{root}/{'/'.join(paths[0][:depth])}"
        paths = [path[depth:] for path in paths]
        folders = [folder[depth:] for folder in folders if len(folder) > depth]
    deep = [(entry, path) for entry, path in zip(images, paths) if len(path) > 1]
    if not deep:
        raise NoClassFoldersError(
            f"{root} holds {plural(len(images), 'image')} but no class folders: put the images of every class into "
            "a folder of its own, or name their labels in a table (data.dataset: csv)",
            where=("path",),
        )
    if _parts_first(deep):
        _by_part(deep, folders, layout, root)
    elif all(len(path) > 2 and part_of(path[1]) for _, path in deep):
        for entry, path in deep:
            _add(layout, part_of(path[1]) or "", entry, path[0])
    else:
        _look_inside(deep, layout, root)
        layout.folders["train"] = {readable(folder[0]) for folder in folders if len(folder) == 1}
        for entry, path in deep:
            _add(layout, "train", entry, path[0])
    if "train" not in layout.parts:
        raise DataError(
            f"{root} holds {' and '.join(f'{part} images' for part in layout.parts)} but none to train on",
            where=("path",),
        )
    loose = len(images) - sum(map(len, layout.parts.values()))
    if loose:
        layout.said.append(f"{loose} image{'s lie' if loose > 1 else ' lies'} outside the class folders and "
                          f"{'are' if loose > 1 else 'is'} left out")  # fmt: skip
    return layout


def _wrapping(paths: Sequence[list[str]]) -> int:
    """Outer folders that contain everything and are neither a part nor a class."""
    depth = 0
    while True:
        heads = {tuple(path[: depth + 1]) for path in paths}
        if len(heads) > 1 or any(len(path) < depth + 3 for path in paths):
            return depth
        if part_of(next(iter(heads))[-1]):
            return depth
        inner = {path[depth + 1].lower() for path in paths}
        if len(inner) == 1 and not any(map(part_of, inner)) and any(len(path) < depth + 4 for path in paths):
            return depth  # one class with one folder in it
        depth += 1


def _parts_first(deep: Sequence[tuple[Entry, list[str]]]) -> bool:
    """Whether a folder called ``train`` holds class folders; a class may be called so as well."""
    return any(part_of(path[0]) == "train" and len(path) > 2 for _, path in deep) or {
        part_of(path[0]) or "" for _, path in deep
    } <= {"validation", "test", "train"}


def _by_part(
    deep: Sequence[tuple[Entry, list[str]]], folders: Sequence[list[str]], layout: FolderLayout, root: str
) -> None:
    called: dict[str, str] = {}
    aside: Counter[str] = Counter()
    for entry, path in deep:
        part = part_of(path[0])
        if part is None:
            aside[path[0]] += 1
            continue
        if called.setdefault(part, path[0]) != path[0]:
            raise DataError(
                f"{root} holds both {called[part]}/ and {path[0]}/ for {part}: which is it? Remove one of them",
                where=("path",),
            )
        if len(path) > 2:
            _add(layout, part, entry, path[1])
    for folder in folders:
        if len(folder) == 2 and folder[0] in called.values():
            layout.folders.setdefault(part_of(folder[0]) or "", set()).add(readable(folder[1]))
    for part, name in called.items():
        if part not in layout.parts:
            raise NoClassFoldersError(
                f"{root}/{name} holds images but no class folders: sort them into "
                "those of the training images, or move the folder out of the set",
                where=("path",),
            )
    if aside:
        layout.said.append(f"{', '.join(f'{name}/' for name in aside)} beside {called['train']}/ "
                          f"({plural(sum(aside.values()), 'image')}) is left out")  # fmt: skip


def _look_inside(deep: Sequence[tuple[Entry, list[str]]], layout: FolderLayout, root: str) -> None:
    """Say which folders inside class folders count for their class.

    Raises:
        DataError: They seem to be the classes, and what holds them a part with a mistyped name.
    """
    inside: dict[str, set[str]] = {}
    for _, path in deep:
        if len(path) > 2:
            inside.setdefault(path[0], set()).add(path[1])
    for name, inner in inside.items():
        other = next((one for one, its in inside.items() if one != name and inner & its), None)
        if (part := part_of(name)) and other is not None:
            raise DataError(
                f"{root} holds {name}/ ({part} images) and {other}/ with the same folders inside, but no train/: "
                f"is {other}/ meant for it? Rename it",
                where=("path",),
            )
    if inside:
        listed = ", ".join(f"{readable(name)} holds {first_of(sorted(map(readable, inner)), 3)}"
                           for name, inner in sorted(inside.items())[:3])  # fmt: skip
        layout.said.append(f"folders inside a class folder count for its class: {listed}")


def _add(layout: FolderLayout, part: str, entry: Entry, name: str) -> None:
    layout.parts.setdefault(part, []).append((entry, readable(name)))
    layout.folders.setdefault(part, set()).add(readable(name))


def _say_others(tree: Tree, layout: FolderLayout) -> None:
    others = Counter(PurePosixPath(e.path).suffix.lower() or "no ending" for e in tree.entries if not is_image(e.path))
    if others:
        listed = ", ".join(f"{ending} ({count})" for ending, count in others.most_common(5))
        number = sum(others.values())
        what = "file is no image by its name and is" if number == 1 else "files are no images by their names and are"
        layout.said.append(f"{number:,} {what} left out: {listed}")
    folders = Counter(next(one for one in path.split("/") if one[0] == ".") for path in tree.passed if is_image(path))
    if folders:
        listed = ", ".join(f"{readable(folder)} ({count})" for folder, count in folders.most_common(5))
        number = sum(folders.values())
        what = "1 image in a hidden folder is" if number == 1 else f"{number:,} images in hidden folders are"
        layout.said.append(f"{what} left out: {listed}")
