"""Images with boxes as YOLO's text files have them: a line ``class x y width height`` per object, in shares.

Supported are ``images/train/`` beside ``labels/train/``, ``train/images/`` beside ``train/labels/``, both without
parts, and texts beside their images. Names of classes, and folders of parts, stand in ``data.yaml``; names also in
``classes.txt``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

from chattn_nas.data.boxes import Box
from chattn_nas.data.layout import PARTS, answers, is_image
from chattn_nas.data.pictures import Found, Listing
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.boxed import MIDDLE, Boxed, Flat, find_boxed, listing_of_boxed, refuse_other_form
from chattn_nas.data.sources.class_names import distinct, names_in
from chattn_nas.data.tree import Entry, Tree, text_of
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
    data_yaml = data_yaml_of(tree)
    names, said = _names(tree, data_yaml)
    aside = answers(tree.entries, said)
    images = [entry for entry in tree.entries if is_image(entry.path) and entry.path not in aside]
    if not images:
        raise DataError(f"there are no images in {root}", where=("path",))
    lists: set[str] = set()
    parts = _parts(tree, images, data_yaml, said, lists)
    texts = {path: entry for path, entry in texts_in(tree).items() if path not in lists}
    labels = labels_by_image(images, texts)
    if not any(labels.values()):
        raise DataError(
            f"no image of {root} has labels: those of {images[0].path} are looked for in "
            f"{labels_of(images[0].path)[0]}",
            where=("path",),
        )
    _refuse_shared(labels)
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
    lines = _Lines(names, Flat(settings), _keypoints(data_yaml, said))

    def read(entry: Entry) -> Boxed:
        """Read the boxes of an image."""
        label = labels[entry.path]
        if label is None:
            return Boxed(entry=entry, file=tree.name(entry))
        called = tree.name(texts[label])
        return Boxed(entry=entry, file=called, boxes=lines.boxes(text_of(tree, texts[label]), called))

    with ThreadPoolExecutor() as pool:
        every = dict(zip(chosen, pool.map(read, chosen.values())))
    said += [*lines.flat.said(), *_outlines(lines.outlines, sum(len(one.boxes) for one in every.values()))]
    refuse_other_form(list(every.values()), root, MIDDLE)
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


def texts_in(tree: Tree) -> dict[str, Entry]:
    """The text files that may be labels, by path."""
    texts = (entry for entry in tree.entries if entry.path.lower().endswith(".txt"))
    return {entry.path: entry for entry in texts if PurePosixPath(entry.path).name.lower() not in NO_LABELS}


def labels_by_image(images: Sequence[Entry], texts: Collection[str]) -> dict[str, str | None]:
    """The label file of every image, if it has one; capitals count only where two files differ in nothing else."""
    lower = {path.lower(): path for path in texts}
    places = {entry.path: labels_of(entry.path) for entry in images}
    return {
        path: next((one if one in texts else lower[one.lower()] for one in each if one.lower() in lower), None)
        for path, each in places.items()
    }


def _refuse_shared(labels: Mapping[str, str | None]) -> None:
    """Refuse two images with the labels of one, such as a.jpg and a.png."""
    first: dict[str, str] = {}
    for image, label in labels.items():
        if label is not None and first.setdefault(label, image) != image:
            raise DataError(f"{first[label]} and {image} have the same labels, {label}: which is it?", where=("path",))


def _keypoints(facts: Mapping[str, Any], said: list[str]) -> int:
    """Numbers of keypoints behind every box, of a set for poses."""
    shape = facts.get("kpt_shape")
    if not isinstance(shape, list) or not all(isinstance(one, int) for one in shape):
        return 0
    said.append(f"{facts['file']} says kpt_shape: {shape}: what stands behind a box are keypoints, which are left out")
    return math.prod(shape)


def _outlines(outlines: Sequence[int], boxes: int) -> list[str]:
    """Sentences on lines that are read as outlines, from the number of points of each."""
    if not outlines:
        return []
    sentences = [f"{plural(len(outlines), 'outline')} x1 y1 x2 y2 ...: the box around each is learned"]
    if len(set(outlines)) == 1 and len(outlines) == boxes > 1 and outlines[0] != 4:
        sentences.append(
            f"beware: every line has {2 * outlines[0]} numbers behind its class, read as {outlines[0]} points: if they "
            "are a box and more, such as keypoints or a confidence, only x, y, width and height belong there"
        )
    return sentences


def data_yaml_of(tree: Tree) -> dict[str, Any]:
    """The content of the YAML file that names classes, else parts; ``file`` is its own path.

    Raises:
        DataError: One cannot be read, or two name other classes.
    """
    found: list[dict[str, Any]] = []
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
            found.append({**content, "file": entry.path})
    naming = [one for one in found if "names" in one]
    if other := next((one for one in naming if one["names"] != naming[0]["names"]), None):
        raise DataError(
            f"{naming[0]['file']} and {other['file']} name other classes: which is it? Remove one of them",
            where=("path",),
        )
    return (naming or found or [{}])[0]


def _names(tree: Tree, facts: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The names of the classes, with a sentence on their origin; none if no file names them."""
    named = facts.get("names")
    if isinstance(named, dict):
        named = {int(key) if str(key).isdecimal() else key: name for key, name in named.items()}
        if set(named) != set(range(len(named))):
            raise DataError(f"{facts['file']} must name classes 0, 1, 2, ..., not {', '.join(map(str, named))}",
                            where=("path",))  # fmt: skip
        named = [named[index] for index in range(len(named))]
    if named and not isinstance(named, list):
        raise DataError(f"{facts['file']} says names: {named}: names of classes are a list, such as [ant, bee]",
                        where=("path",))  # fmt: skip
    if named:
        if str(facts.get("nc", len(named))) != str(len(named)):
            raise DataError(
                f"{facts['file']} says nc: {facts['nc']} and names {plural(len(named), 'class')}", where=("path",)
            )
        return distinct(list(map(str, named)), facts["file"]), [f"classes are named by {facts['file']}"]
    for entry in tree.entries:
        if PurePosixPath(entry.path).name.lower() in NAMES:
            return names_in(tree, entry), [f"classes are named by {entry.path}"]
    return [], []


def _parts(
    tree: Tree, images: Sequence[Entry], facts: dict[str, Any], said: list[str], lists: set[str]
) -> dict[str, list[Entry]]:
    """Find parts by the folders or lists in ``data.yaml``, else by names of folders, such as ``train`` and ``val2017``.

    Args:
        tree: The files.
        images: The images among them.
        facts: From :func:`data_yaml_of`.
        said: Takes sentences for the user.
        lists: Takes the paths of text files that list images.

    Raises:
        DataError: Two parts share images.
    """
    by_part: dict[str, list[Entry]] = {}
    held: set[str] = set()
    for key in ("train", "val", "test"):
        folders = facts.get(key)
        each = [str(one) for one in (folders if isinstance(folders, list) else [folders]) if one]
        listed = {path for one in each for path in _listed(tree, images, one, said, lists)}
        inside = [one for one in images if one.path in listed or any(_below(one.path, folder) for folder in each)]
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


def _listed(tree: Tree, images: Sequence[Entry], file: str, said: list[str], lists: set[str]) -> set[str]:
    """The images that a text file lists, one a line, as they may be named in place of a folder."""
    ending = "/".join(_named(file))
    ends = [entry for entry in tree.entries if f"/{ending}".endswith(f"/{entry.path}") or entry.path == ending]
    ends += [entry for entry in tree.entries if f"/{entry.path}".endswith(f"/{ending}")]
    if not file.lower().endswith(".txt") or not ends:
        return set()
    lists.add(ends[0].path)
    lines = [line.strip() for line in tree.read(ends[0]).decode("utf-8-sig", "replace").splitlines() if line.strip()]
    by_name: dict[str, list[str]] = {}
    for entry in images:
        by_name.setdefault(PurePosixPath(entry.path).name, []).append(entry.path)
    found, missing = set[str](), list[str]()
    for line in lines:
        words = line.replace("\\", "/").split("/")
        near = by_name.get(words[-1], [])
        fitting = (
            [path for path in near if f"/{path}".endswith("/" + "/".join(words[start:]))] for start in range(len(words))
        )
        one = next(filter(None, fitting), [])
        if len(one) > 1:
            raise DataError(f"{ends[0].path} means {one[0]} or {one[1]} by {line!r}: which is it?", where=("path",))
        found.update(one)
        missing += [] if one else [line]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        said.append(f"{ends[0].path} lists {plural(len(missing), 'image')} that {are} not there: {first_of(missing)}")
    return found


def _named(path: str) -> list[str]:
    """The components of a path of any system, without those that name nothing."""
    return [word for word in path.replace("\\", "/").split("/") if word not in ("", ".", "..")]


def _below(path: str, folder: str) -> bool:
    """Whether an image lies in a folder that is given by any path, of which the last components count."""
    words = _named(folder)
    return any(f"/{path}".find(f"/{'/'.join(words[start:])}/") >= 0 for start in range(max(1, len(words) - 1)))


@dataclass
class _Lines:
    """Reads the lines of a set's label files.

    Attributes:
        names: Names of the classes; empty if no file names them.
        flat: Takes the boxes that show nothing.
        keypoints: Numbers behind every box that are left out.
        outlines: Number of points of every line that was read as an outline.
    """

    names: Sequence[str]
    flat: Flat
    keypoints: int
    outlines: list[int] = field(default_factory=list)

    def boxes(self, text: str, called: str) -> list[Box]:
        """Read the objects of one image.

        Raises:
            DataError: A line is malformed.
        """
        lines = enumerate(text.splitlines(), 1)
        every = [self._box(line.split(), f"{called}:{at}", at) for at, line in lines if line.strip()]
        return [box for box in every if box is not None]

    def _box(self, words: list[str], place: str, at: int) -> Box | None:
        try:
            label, *numbers = (float(word) for word in words)
        except ValueError:
            raise DataError(
                f"{place}: {' '.join(words)[:80]!r} holds something that is no number (a line is the number of a class "
                "and numbers with decimal points, between blanks)",
                where=("path",),
            ) from None
        if self.keypoints and len(numbers) == 4 + self.keypoints:
            numbers = numbers[:4]
        outline = len(numbers) >= 6 and len(numbers) % 2 == 0
        if len(numbers) != 4 and not outline:
            raise DataError(
                f"{place}: a line is a class and x, y, width and height of a box, or an outline x1 y1 x2 y2 ..., not "
                f"{plural(len(words), 'number')}",
                where=("path",),
            )
        if not label.is_integer() or label < 0 or (self.names and label >= len(self.names)):
            count = len(self.names)
            there = "there is 1 class, 0" if count == 1 else f"there are {count} classes, 0 to {count - 1}"
            many = there if self.names else "classes are numbers from 0 on"
            raise DataError(f"{place}: there is no class {words[0]}: {many}", where=("path",))
        if outline:
            self.outlines.append(len(numbers) // 2)
            corners = min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])
        else:
            x, y, width, height = numbers
            corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        if not all(map(math.isfinite, corners)):
            raise DataError(f"{place}: the box {' '.join(words[1:])} is no box", where=("path",))
        if corners[2] <= corners[0] or corners[3] <= corners[1]:
            self.flat.count(f"{place}: the box {' '.join(words[1:])} shows nothing")
            return None
        if max(corners) > 2 or max(numbers) > 1 + ROUNDED:
            raise DataError(
                f"{place}: {max(numbers):g} lies beyond the image: numbers are shares of its width and height, 0 to 1",
                where=("path",),
            )
        return Box(corners, int(label), at)
