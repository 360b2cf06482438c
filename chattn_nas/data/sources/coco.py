"""Images with boxes as COCO's JSON has them.

Lin, Maire, Belongie, Bourdev, Girshick, Hays, Perona, Ramanan, Zitnick, Dollar, "Microsoft COCO: Common Objects in
Context" (2014). Supported are ``annotations/instances_train2017.json`` beside ``train2017/``, ``train.json`` beside
``train/``, ``train/_annotations.coco.json`` inside it, and one file for all images.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from chattn_nas.data.boxes import Box
from chattn_nas.data.layout import PARTS, is_image
from chattn_nas.data.pictures import Found, Listing
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.boxed import CORNER, Boxed, Flat, find_boxed, listing_of_boxed, refuse_other_numbers
from chattn_nas.data.tree import Entry, Tree, content_of
from chattn_nas.errors import DataError
from chattn_nas.plural import first_of, plural, repeated

#: What else COCO's own folder of annotations holds.
OTHERS = ("captions", "person_keypoints", "panoptic", "stuff", "image_info")
Content = Mapping[str, Any]
#: Names of images listed in a message.
SHOWN = 5


def find_coco(settings: DataSettings) -> Found:
    """The files; none is read.

    Raises:
        DataError: There is no such folder.
    """
    return find_boxed(settings, _listing)


def _listing(tree: Tree, root: str, settings: DataSettings) -> Listing:
    said: list[str] = []
    files = _annotations(tree, root, said)
    images = defaultdict[str, list[Entry]](list)
    for entry in tree.entries:
        if is_image(entry.path):
            images[PurePosixPath(entry.path).name].append(entry)
    names, number = _categories({tree.name(entry): content for entry, content in files.values()})
    said.append(f"{', '.join(f'{entry.path} ({part})' for part, (entry, _) in files.items())} "
                f"{'tell' if len(files) > 1 else 'tells'} the boxes")  # fmt: skip
    parts, missing, flat = {}, Counter[str](), Flat(settings)
    for part, (entry, content) in files.items():
        parts[part] = _part(content, entry, tree, images, number, part, missing, flat)
    said += flat.said()
    _refuse_shared(parts)
    if count := missing.total():
        them = "them" if count > 1 else "it"
        listed = first_of(list(missing), SHOWN)
        if settings.bad_files == "fail" or not parts["train"]:
            raise DataError(
                f"{plural(count, 'image')} that the annotations of {root} name "
                f"{'are' if count > 1 else 'is'} not there: {listed}{_alike(next(iter(missing)), images)}; add {them}, "
                f"or leave {them} out with data.bad_files: skip",
                where=("path",),
            )
        said.append(f"not there, left out: {plural(count, 'image')} that the annotations name: {listed}")
    named = {one.entry.path for boxed in parts.values() for one in boxed}
    if unnamed := sum(entry.path not in named for entries in images.values() for entry in entries):
        said.append(f"images that no annotations name are left out: {unnamed}")
    return listing_of_boxed(tree, parts, names, settings, root=root, said=said, word="annotation", shares=False)


def _alike(name: str, images: Mapping[str, Sequence[Entry]]) -> str:
    """A file whose name is that of a missing one but for its ending or its case."""
    stem = PurePosixPath(name.replace("\\", "/")).stem.lower()
    near = next((one for file, (one, *_) in images.items() if PurePosixPath(file).stem.lower() == stem), None)
    return f" ({near.path} is there: endings count, and capitals)" if near else ""


def _refuse_shared(parts: Mapping[str, Sequence[Boxed]]) -> None:
    """Refuse images that belong to two parts.

    Raises:
        DataError: The message names one of them, and the files.
    """
    seen: dict[str, Boxed] = {}
    twice = [
        (seen[one.entry.path], one)
        for boxed in parts.values()
        for one in boxed
        if seen.setdefault(one.entry.path, one).file != one.file
    ]
    if twice:
        first, second = twice[0]
        raise DataError(
            f"{first.file} and {second.file} name the same {len(twice)} image{'s' if len(twice) > 1 else ''}, such as "
            f"{first.entry.path}: a score on images that were trained on says nothing",
            where=("path",),
        )


def _annotations(tree: Tree, root: str, said: list[str]) -> dict[str, tuple[Entry, Content]]:
    """The annotation file of every part, with its content; ``said`` takes sentences for the user."""
    candidates = defaultdict[str, list[tuple[Entry, Content]]](list)
    refused: dict[str, DataError] = {}
    for entry in tree.entries:
        name = PurePosixPath(entry.path).name.lower()
        if name.endswith(".json") and not name.startswith(OTHERS):
            part = _part_of(entry.path) or "train"
            try:
                content = _content(tree, entry)
                candidates[part].append((entry, content))
            except DataError as error:  # of something else, where another file tells the boxes
                refused.setdefault(part, error)
    for part, refusal in refused.items():
        if part not in candidates:
            if part != "test":
                raise refusal
            said.append(f"no test images, since {refusal}")  # those of a contest are without boxes
    if not candidates:
        raise DataError(
            f"{root} holds no annotations: they are looked for as .json files, such as annotations/train.json",
            where=("path",),
        )
    chosen = {}
    for part, files in candidates.items():
        instances = [one for one in files if "instances" in one[0].path.lower()]
        files = instances if len(instances) == 1 else files
        if len(files) > 1:
            raise DataError(
                f"{root} holds {files[0][0].path} and {files[1][0].path} for {part}: which is it? Remove one of them",
                where=("path",),
            )
        chosen[part] = files[0]
    if "train" not in chosen:
        raise DataError(
            f"{root} holds annotations of {' and '.join(chosen)} ({', '.join(one.path for one, _ in chosen.values())}) "
            "but none to train on",
            where=("path",),
        )
    return chosen


def _part_of(path: str) -> str | None:
    """The part that a path names: its last word that is the name of a part."""
    words = [re.sub(r"\d+$", "", word) for word in re.split(r"[\W_]+", path.lower())]
    return next((PARTS[word] for word in reversed(words) if word in PARTS), None)


def _content(tree: Tree, entry: Entry) -> Content:
    """Read an annotation file.

    Raises:
        DataError: It is none.
    """
    called = tree.name(entry)
    try:
        content = json.loads(content_of(tree, entry))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{called} is no JSON: {error}", where=("path",)) from None
    for key in ("images", "annotations", "categories"):
        rows = content.get(key) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{called} holds no COCO annotations: it has no list {key!r}", where=("path",))
    return content  # type: ignore[no-any-return]


def _categories(held: Mapping[str, Content]) -> tuple[list[str], dict[int, int]]:
    """Names of the classes, and the number of every category id."""
    names: dict[int, str] = {}
    first: dict[int, str] = {}
    for called, content in held.items():
        for row in content["categories"]:
            identity, name = row.get("id"), row.get("name")
            if not isinstance(identity, int) or not isinstance(name, str) or not name.strip():
                raise DataError(
                    f"{called} has a category without a name, or whose id is no whole number: {row}", where=("path",)
                )
            first.setdefault(identity, called)
            if names.setdefault(identity, name) != name:
                raise DataError(
                    f"{called} calls category {identity} {name!r}, and {first[identity]} calls it {names[identity]!r}",
                    where=("path",),
                )
    order = sorted(names)
    named = [names[one] for one in order]
    if (twice := repeated(named)) is not None:
        raise DataError(f"two categories of {next(iter(held))} are called {twice!r}", where=("path",))
    return named, {identity: index for index, identity in enumerate(order)}


def _part(
    content: Content, file: Entry, tree: Tree, images: Mapping[str, Sequence[Entry]],
    number: Mapping[int, int], part: str, missing: Counter[str], flat: Flat,
) -> list[Boxed]:  # fmt: skip
    called = tree.name(file)
    by_id: dict[Any, Boxed | None] = {}
    listed: dict[str, Any] = {}
    for row in content["images"]:
        identity, name = row.get("id"), row.get("file_name")
        if not isinstance(identity, int | str) or not isinstance(name, str):
            raise DataError(f"{called} has an image without id or file_name: {row}", where=("path",))
        if identity in by_id:
            raise DataError(f"{called} has two images with id {identity}", where=("path",))
        entry = _image(name, file, images, part, called)
        missing.update([name] if entry is None else [])
        if entry is not None and listed.setdefault(entry.path, identity) != identity:
            raise DataError(
                f"{called} lists {entry.path} twice, as images {listed[entry.path]} and {identity}", where=("path",)
            )
        size = (row.get("width") or 0, row.get("height") or 0)
        if not all(isinstance(side, int | float) and side >= 0 and side == round(side) for side in size):
            raise DataError(f"{called}: image {identity} has no size that makes sense: {size}", where=("path",))
        stated = (int(size[0]), int(size[1])) if all(size) else (0, 0)
        by_id[identity] = None if entry is None else Boxed(entry=entry, file=called, size=stated)
    for place, row in enumerate(content["annotations"]):
        at = row["id"] if isinstance(row.get("id"), int) else place
        of, kind = (row.get(key) for key in ("image_id", "category_id"))
        if not isinstance(of, int | str) or of not in by_id:
            raise DataError(f"{called}, annotation {at}: there is no image with id {of!r}{_as_text(of, by_id)}",
                            where=("path",))  # fmt: skip
        if not isinstance(kind, int) or kind not in number:
            other = _as_text(kind, number)
            raise DataError(
                f"{called}, annotation {at}: there is no category {kind!r}{other}", where=("path",),
                value=None if other else kind, choices=number,
            )  # fmt: skip
        image, corners = by_id[of], _corners(row, called, at)
        if corners[2] <= corners[0] or corners[3] <= corners[1]:
            sides = f"width {corners[2] - corners[0]:g} and height {corners[3] - corners[1]:g} px"
            flat.count(f"{called}, annotation {at}: a box of {sides} shows nothing")
        elif image is not None:
            image.boxes.append(Box(corners, number[kind], at, bool(row.get("iscrowd"))))
    boxed = [image for image in by_id.values() if image is not None]
    refuse_other_numbers(tree, boxed, called, "COCO", CORNER)
    return boxed


def _as_text(identity: Any, known: Mapping[Any, Any]) -> str:
    """What to say of an id that is there, but as a number and not as text, or the other way round."""
    if not any(str(one) == str(identity) for one in known):
        return ""
    return f": it is {'text' if isinstance(identity, str) else 'a number'} here, and not where it is listed"


def _corners(row: Content, called: str, at: int) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of left, top, width, height."""
    bbox = row.get("bbox")
    if not bbox and row.get("segmentation"):
        raise DataError(
            f"{called}, annotation {at}: it has a segmentation but no bbox (left, top, width, height), and boxes are "
            "what is learned",
            where=("path",),
        )
    numbers = bbox if isinstance(bbox, list) and len(bbox) == 4 else ()
    if not numbers or not all(isinstance(one, int | float) and math.isfinite(one) for one in numbers):
        raise DataError(
            f"{called}, annotation {at}: a box is four numbers (left, top, width, height), not {bbox!r}",
            where=("path",),
        )
    left, top, width, height = map(float, numbers)
    return left, top, left + width, top + height


def _image(name: str, file: Entry, images: Mapping[str, Sequence[Entry]], part: str, called: str) -> Entry | None:
    """The image that is meant: the longest match with the end of its path, then in the same part, near the file."""
    parts = name.replace("\\", "/").split("/")
    near = images.get(parts[-1], ())
    for start in range(len(parts)):
        ending = "/".join(parts[start:])
        fitting = [entry for entry in near if f"/{entry.path}".endswith(f"/{ending}")]
        if fitting:
            break
    else:
        return None
    for folder in (str(PurePosixPath(file.path).parent / ending), ending):
        if any(entry.path == folder for entry in fitting) and len(fitting) > 1:
            fitting = [entry for entry in fitting if entry.path == folder]
    if len(fitting) > 1:
        fitting = [entry for entry in fitting if _part_of(str(PurePosixPath(entry.path).parent)) == part] or fitting
    if len(fitting) > 1:
        raise DataError(
            f"{called} means {fitting[0].path} or {fitting[1].path} by {name!r}: which is it?", where=("path",)
        )
    return fitting[0]
