"""Images with boxes as Pascal VOC has them: an XML file per image.

Everingham, Van Gool, Williams, Winn, Zisserman, "The Pascal Visual Object Classes (VOC) Challenge" (2010). Supported
are ``Annotations/`` beside ``JPEGImages/`` with the parts in ``ImageSets/Main/``, and XML files beside their images or
in a folder beside theirs, with the parts by the names of folders.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from xml.etree import ElementTree

from chattn_nas.data.boxes import Box
from chattn_nas.data.layout import answers, is_image, part_of
from chattn_nas.data.pictures import Found, Listing
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.boxed import CORNERS, Boxed, Flat, find_boxed, listing_of_boxed, refuse_other_numbers
from chattn_nas.data.tree import Entry, Tree, content_of, text_of
from chattn_nas.errors import DataError
from chattn_nas.plural import first_of, plural

#: Folders that a file's name does not depend on: an image and what belongs to it differ in them.
BETWEEN = {"annotations", "annotation", "jpegimages", "images", "image", "imgs", "labels", "xmls"}
SIDES = ("xmin", "ymin", "xmax", "ymax")


def find_voc(settings: DataSettings) -> Found:
    """Find the files; none is read.

    Raises:
        DataError: There is no such folder.
    """
    return find_boxed(settings, _listing)


def _listing(tree: Tree, root: str, settings: DataSettings) -> Listing:
    said: list[str] = []
    skip = settings.bad_files == "skip"
    aside = answers(tree.entries, said)
    images = [entry for entry in tree.entries if is_image(entry.path) and entry.path not in aside]
    by_key = {key_of(entry.path): entry for entry in tree.entries if entry.path.lower().endswith(".xml")}
    images = [entry for entry in images if "jpegimages" in entry.path.lower().split("/")] or images
    parts = listed_parts(tree, "Main", images, said, skip=skip) or _by_folders(images)
    if lonely := sorted(by_key.keys() - {key_of(entry.path) for entry in images}):
        paths = first_of([by_key[key].path for key in lonely])
        _left_out(f"{plural(len(lonely), 'annotation')} without an image in {root}: {paths}", said, skip=skip)
    for part, inside in list(parts.items()):
        bare = [entry.path for entry in inside if key_of(entry.path) not in by_key]
        if part == "test" and len(bare) == len(inside):
            said.append(f"without annotations, left out: {plural(len(bare), 'test image')}")
        elif bare:
            _left_out(f"{plural(len(bare), 'image')} without an annotation (.xml): {first_of(bare)}", said, skip=skip)
        parts[part] = [entry for entry in inside if key_of(entry.path) in by_key]
    names: dict[str, int] = {}
    boxed = {
        part: [_annotated(entry, by_key[key_of(entry.path)], tree, names) for entry in inside]
        for part, inside in parts.items()
        if inside
    }
    every = [one for inside in boxed.values() for one in inside]
    refuse_other_numbers(tree, every, root, "Pascal VOC", CORNERS)
    first = 0 if any(min(box.corners[:2]) < 1 for one in every for box in one.boxes) else 1
    said.append(f"pixels are counted from {first}, as {'in VOC' if first else 'some boxes begin before pixel 1'}")
    flat, order = Flat(settings), sorted(names)
    number = {names[name]: index for index, name in enumerate(order)}
    for one in every:
        one.boxes = [box for raw in one.boxes if (box := _placed(raw, first, number, one.file, flat)) is not None]
    said += flat.said()
    return listing_of_boxed(tree, boxed, order, settings, root=root, said=said, word="object", shares=False,
                            ignored=("difficult object", ""))  # fmt: skip


def _placed(box: Box, first: int, number: Mapping[int, int], called: str, flat: Flat) -> Box | None:
    """The box with its edges in place of its first and last pixels, counted from ``first``."""
    left, top, right, bottom = box.corners
    corners = left - first, top - first, right, bottom
    if corners[2] <= corners[0] or corners[3] <= corners[1]:
        flat.count(f"{called}, object {box.at}: the box from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) shows "
                   "nothing")  # fmt: skip
        return None
    return replace(box, corners=corners, label=number[box.label])


def key_of(path: str) -> str:
    """What the paths of an image and of its annotation have in common."""
    *folders, name = path.split("/")
    return "/".join([*(one for one in folders if one.lower() not in BETWEEN), PurePosixPath(name).stem])


def listed_parts(
    tree: Tree, kind: str, images: Iterable[Entry], said: list[str], *, skip: bool
) -> dict[str, list[Entry]]:
    """The images of every part by the lists in ``ImageSets/<kind>``, such as ``train.txt``; empty if there are none.

    Args:
        tree: The files.
        kind: ``Main`` or ``Segmentation``.
        images: The images among them.
        said: Takes sentences for the user.
        skip: Whether images that are not there are left out.

    Raises:
        DataError: A list cannot be read, or an image is not there or in two lists.
    """
    lists: dict[str, list[Entry]] = defaultdict(list)
    for entry in tree.entries:
        *above, name = PurePosixPath(entry.path).parts
        named = "trainval" if name.lower() == "trainval.txt" else part_of(name[:-4])
        inside = [one.lower() for one in above[-2:]] == ["imagesets", kind.lower()]
        if named and inside and name.lower().endswith(".txt"):
            lists[named].append(entry)
    both = lists.pop("trainval", [])
    if both and "train" not in lists:
        lists["train"] = both
    known: dict[str, Entry] = {}
    for image in images:
        key = key_of(image.path)
        if known.setdefault(key, image) is not image:
            raise DataError(f"{known[key].path} and {image.path} have one name: which is it?", where=("path",))
    parts: dict[str, list[Entry]] = {}
    for part, files in lists.items():
        found, missing = dict[str, Entry](), list[str]()
        for file in files:
            base = key_of("/".join([*PurePosixPath(file.path).parts[:-3], ""]))
            for line in filter(None, map(str.strip, text_of(tree, file).splitlines())):
                keys = [base + line, base + str(PurePosixPath(line).with_suffix("")), base + line.split()[0]]
                found.update({one: known[one] for one in [one for one in keys if one in known][:1]})
                missing += [] if known.keys() & set(keys) else [line]
        called = " and ".join(file.path for file in files)
        said.append(f"{called} {'list' if len(files) > 1 else 'lists'} the {part} images")
        if missing and part == "test" and not found:
            said.append(f"none of the images of {called} is there: no test images")
            continue
        if missing:
            _left_out(f"{plural(len(missing), 'image')} of {called} not there: {first_of(missing)}", said, skip=skip)
        parts[part] = list(found.values())
    if parts:
        listed = {entry.path for inside in parts.values() for entry in inside}
        if rest := sum(entry.path not in listed for entry in known.values()):
            are = "is" if rest == 1 else "are"
            said.append(f"{plural(rest, 'image')} that no list in ImageSets/{kind} names {are} left out")
    _refuse_twice(parts)
    return parts


def _by_folders(images: Sequence[Entry]) -> dict[str, list[Entry]]:
    parts: dict[str, list[Entry]] = defaultdict(list)
    for entry in images:
        parts[next(filter(None, map(part_of, entry.path.split("/")[:-1])), "train")].append(entry)
    _refuse_twice(parts)
    return parts


def _refuse_twice(parts: Mapping[str, Sequence[Entry]]) -> None:
    """Refuse two images with one annotation, and one image in two parts."""
    first: dict[str, tuple[str, str]] = {}
    for part, inside in parts.items():
        for entry in inside:
            path, other = first.setdefault(key_of(entry.path), (entry.path, part))
            if path != entry.path:
                raise DataError(f"{path} and {entry.path} have the same annotation: which is it?", where=("path",))
            if other != part:
                raise DataError(
                    f"{path} is listed for {other} and for {part}: a score on images that were trained on says nothing",
                    where=("path",),
                )


def _left_out(problem: str, said: list[str], *, skip: bool) -> None:
    if not skip:
        raise DataError(f"{problem}; add what is missing, or leave it out with data.bad_files: skip", where=("path",))
    said.append(f"left out: {problem}")


def _annotated(entry: Entry, file: Entry, tree: Tree, names: dict[str, int]) -> Boxed:
    """Read the annotation of an image; ``names`` takes those of classes, numbered as they come."""
    called = tree.name(file)
    try:
        content = ElementTree.fromstring(content_of(tree, file))
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{called} is no XML: {error}", where=("path",)) from None
    if content.tag != "annotation":
        raise DataError(f"{called} holds no annotation of Pascal VOC: it begins with <{content.tag}>", where=("path",))
    stated = [(content.findtext(f"size/{side}") or "0").strip() for side in ("width", "height")]
    if not all(re.fullmatch(r"\d+(\.0*)?", side) for side in stated):
        raise DataError(f"{called} has no size that makes sense: {' x '.join(stated)}", where=("path",))
    size = int(float(stated[0])), int(float(stated[1]))
    boxed = Boxed(entry=entry, file=called, size=size if all(size) else (0, 0))
    for at, thing in enumerate(content.findall("object"), 1):
        name, box = (thing.findtext("name") or "").strip(), thing.find("bndbox")
        if not name or box is None:
            raise DataError(f"{called}, object {at}: it has no {'bndbox' if name else 'name'}", where=("path",))
        texts = [(box.findtext(side) or "").strip() for side in SIDES]
        try:
            left, top, right, bottom = map(float, texts)
            if not math.isfinite(left + top + right + bottom):
                raise ValueError
        except ValueError:
            raise DataError(
                f"{called}, object {at}: a box is four numbers ({', '.join(SIDES)}), not {', '.join(texts)!r}",
                where=("path",),
            ) from None
        difficult = (thing.findtext("difficult") or "0").strip().lower() not in ("0", "false")
        boxed.boxes.append(Box((left, top, right, bottom), names.setdefault(name, len(names)), at, difficult))
    return boxed
