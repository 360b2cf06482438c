"""Images with a mask each: a folder or archive as ``{part}/{images,masks}`` or ``{img_dir,ann_dir}/{part}``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chattn_nas.data.decoding import Reading
from chattn_nas.data.layout import answers, is_image, part_of
from chattn_nas.data.pictures import Files, Found, Listing, Part
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.class_names import names_in
from chattn_nas.data.sources.mask_survey import Seen, refuse_coloured, values_of
from chattn_nas.data.sources.mask_values import (
    VOID,
    VOID_NAME,
    ColouredError,
    Colours,
    colours_of,
    fitted_mask,
    numbers_of,
)
from chattn_nas.data.sources.place import opened, path_of
from chattn_nas.data.sources.voc import listed_parts
from chattn_nas.data.tree import Entry, Tree
from chattn_nas.errors import DataError
from chattn_nas.plural import first_of, plural

#: Names of the folders, in any case, perhaps with that of the part (``train_masks``); ``img_dir`` and ``ann_dir`` are
#: those of mmsegmentation.
IMAGES = {"images", "image", "img", "imgs", "img_dir", "jpegimages", "leftimg8bit"}
MASKS = {"masks", "mask", "ann_dir", "annotations", "annotation", "labels", "label", "segmentationclass", "gtfine",
         "ground_truth", "groundtruth"}  # fmt: skip
#: What the name of a mask may have before or behind that of its image, in any case, with ``_``, ``-`` or ``.`` between.
WORDS = ("mask", "masks", "label", "labels", "gt", "seg", "segmentation", "annotation", "L")
#: The same, as it is written, and what an image itself may have.
ENDINGS = ("", "_gtFine_labelTrainIds", "_labelTrainIds")
IMAGE_ENDINGS = ("", "_leftImg8bit", "_0000")
#: Folders whose names hold two words: nnU-Net's ``imagesTr`` and ``labelsTs``, CamVid's ``trainannot``.
JOINED = {**{f"{kind}{end}": f"{kind}_{part}" for kind in ("images", "labels")
             for end, part in (("tr", "train"), ("val", "val"), ("ts", "test"))},
          **{f"{part}annot": f"{part}_annotation" for part in ("train", "val", "test")}}  # fmt: skip
T = TypeVar("T")


def find_masks(settings: DataSettings) -> Found:
    """Find the files; none is read.

    Raises:
        DataError: There is no such folder, or options are wrong.
    """
    if set(settings.options) - {"colours"}:
        raise DataError(f"data.options of masks are colours, not {settings.options}", where=("options",))
    colours = colours_of(settings.options["colours"]) if settings.options else None
    path = path_of(settings)
    tree, stamps = opened(path)
    if settings.resize == "pad":
        stamps.append("padded as its image")  # before 2026-11-26 by up to one pixel beside it
    if any("/imagesets/segmentation/" in f"/{entry.path.lower()}" for entry in tree.entries):
        stamps.append("split by its lists")  # before 2026-11-28 at random
    return Found(stamps, lambda: _listing(tree, str(path), colours, skip=settings.bad_files == "skip"))


def _listing(tree: Tree, root: str, colours: Colours | None, *, skip: bool) -> Listing:
    said: list[str] = []
    images, masks, names = grouped(tree, root, said)
    keys = {entry.path: key for by_key in images.values() for key, entry in by_key.items()}
    pictures = [entry for by_key in images.values() for entry in by_key.values()]
    if lists := listed_parts(tree, "Segmentation", pictures, said, skip=skip):
        images = {part: {keys[entry.path]: entry for entry in inside} for part, inside in lists.items()}
        every = {key: mask for by_key in masks.values() for key, mask in by_key.items()}
        masks = dict.fromkeys(images, every)
    if "train" not in images or not any(masks.values()):
        raise DataError(
            f"{root} holds no images to train on with masks: they are looked for as train/images and train/masks, or "
            "as img_dir/train and ann_dir/train",
            where=("path",),
        )
    chosen: dict[str, list[tuple[Entry, Entry]]] = {}
    for part, by_key in images.items():
        known = _without_words(masks.get(part, {}))
        pairs = [(entry, _mask_of(key, known)) for key, entry in by_key.items()]
        bare = [entry.path for entry, mask in pairs if mask is None]
        if bare and part == "test" and len(bare) == len(pairs):
            said.append(f"without masks, left out: {plural(len(bare), 'test image')}")
            continue
        chosen[part] = [(entry, mask) for entry, mask in pairs if mask is not None]
        if not bare:
            continue
        listed = first_of(bare)
        if not skip or not chosen[part]:
            way = "; data.bad_files: skip leaves them out" if chosen[part] else _naming(masks.get(part, {}))
            raise DataError(f"{len(bare)} image{'s have' if len(bare) > 1 else ' has'} no mask: {listed}{way}",
                            where=("path",))  # fmt: skip
        said.append(f"without a mask, left out: {plural(len(bare), 'image')}: {listed}")
    used = {mask.path for both in chosen.values() for _, mask in both}
    if lonely := sorted({mask.path for by_key in masks.values() for mask in by_key.values()} - used):
        said.append(f"without an image, left out: {plural(len(lonely), 'mask')}, such as {lonely[0]}")
    read = Masks(tree, [mask for both in chosen.values() for _, mask in both], colours)
    read, class_names = _classes(read, tree, names, said)
    if len(class_names) < 2:
        raise DataError(f"the masks of {root} hold one class: there is nothing to tell apart", where=("path",))
    parts, start = {}, 0
    for part, both in chosen.items():
        index = np.arange(start, start := start + len(both))
        parts[part] = Part(Files(tree, [entry for entry, _ in both]), read.take(index))
    return Listing(parts=parts, class_names=class_names, said=tuple(said))


Grouped = dict[str, dict[str, Entry]]


def _naming(masks: Mapping[str, Entry]) -> str:
    """How a mask must be named, for a part in which no image has one."""
    other = f"; {next(iter(masks.values())).path} belongs to none" if masks else ""
    return f" (a mask has its image's name, perhaps with a word behind it, as in 7_mask.png: {', '.join(WORDS)}{other})"


def grouped(tree: Tree, root: str, said: list[str] | None = None) -> tuple[Grouped, Grouped, Entry | None]:
    """Group images and masks by part and name, by the names of their folders, and find a file that names the classes.

    Raises:
        DataError: There are both, and two files have the same name.
    """
    twice: list[tuple[Entry, Entry]] = []
    plain_twice: dict[str, list[tuple[Entry, Entry]]] = defaultdict(list)
    images: Grouped = {}
    masks: Grouped = {}
    plain: Grouped = {}
    names: Entry | None = None
    aside = answers(tree.entries, [] if said is None else said)
    for entry in tree.entries:
        *folders, name = entry.path.split("/")
        if name in ("classes.txt", "labels.txt"):
            names = entry
        meant = [(folder, *_means(folder)) for folder in folders]
        kinds = [kind for _, kind, _ in meant if kind is not None]
        if not is_image(name) or entry.path in aside or not (kinds or any(part for _, _, part in meant)):
            continue
        part = next((part for _, _, part in meant if part), "train")
        rest = [folder for folder, kind, part in meant if kind is None and part is None]
        key = "/".join([*rest, PurePosixPath(name).stem])
        group = (images if kinds[0] is IMAGES else masks) if kinds else plain
        held = group.setdefault(part, {})
        if held.setdefault(key, entry) is not entry:
            (twice if kinds else plain_twice[part]).append((held[key], entry))
    for part, held in masks.items():  # train/ beside trainannot/ or train_masks/
        known = _without_words(held)
        if not images.get(part) and 2 * sum(_mask_of(key, known) is not None for key in plain.get(part, {})) > len(
            held
        ):
            images[part] = plain[part]
            twice += plain_twice[part]
    if twice and images and masks:
        raise DataError(f"{root} holds {twice[0][0].path} and {twice[0][1].path}: which is it?", where=("path",))
    return images, masks, names


def _means(folder: str) -> tuple[set[str] | None, str | None]:
    """Whether the name of a folder says images or masks, and which part, as ``train_masks`` says both."""
    lower = JOINED.get(folder.lower(), folder.lower())
    words = re.split(r"[-_ ]", lower)
    part = part_of(lower) or next(filter(None, map(part_of, words)), None)
    rest = "_".join(word for word in words if not part_of(word))
    kinds = {name: kind for kind in (IMAGES, MASKS) for name in kind}
    kind = kinds.get(lower) or kinds.get(rest)
    return kind, part if kind or part_of(lower) else None


def _classes(masks: Masks, tree: Tree, names: Entry | None, said: list[str]) -> tuple[Masks, tuple[str, ...]]:
    """Return the masks, ready to be read, and their classes: by colours, by a file of names, else by their values.

    Args:
        masks: The masks of all parts.
        tree: The tree with the masks.
        names: A file with one class per line.
        said: Takes sentences for the user.
    """
    if masks.colours is not None:
        return masks, masks.colours.names
    class_names: tuple[str, ...] = ()
    if names is not None:
        class_names = tuple(names_in(tree, names))
        said.append(f"classes are named by {names.path}")
        said += [
            f"beware: {names.path} names class {number} {name!r}, which is learned as any other unless "
            f"task.ignore_index is {number}"
            for number, name in enumerate(class_names)
            if name.lower() == VOID_NAME
        ]
    held = masks.values()
    white = held[0] and held[VOID] and not held[1:VOID].any()  # as void, it would leave one class
    if white and len(class_names) in (0, 2):
        masks = replace(masks, white=1)
        held[1] = True
        said.append(f"masks hold 0 and {VOID} alone: {VOID} is class {class_names[1] if class_names else 1}")
    top = int(np.flatnonzero(held[:VOID]).max(initial=0))
    if not class_names and np.count_nonzero(held[:VOID]) > 1:
        class_names = tuple(map(str, range(top + 1)))
        if gaps := np.flatnonzero(~held[: len(class_names)]).tolist():
            said.append(_gaps(gaps, np.flatnonzero(held).tolist()))
    elif names is not None and top >= len(class_names):
        beyond = [value for value in range(len(class_names), VOID) if held[value]]
        said.append(f"masks hold {first_of(beyond)}, and {names.path} names only 0 to {len(class_names) - 1}")
    return masks, class_names


def _gaps(gaps: Sequence[int], held: Sequence[int]) -> str:
    """The sentence on numbers of classes that no mask holds.

    Raises:
        DataError: They are most of the numbers: these are values, not numbers of classes; ``value`` lists them.
    """
    classes = len(gaps) + sum(one != VOID for one in held)
    if 2 * len(gaps) > classes:
        raise DataError(
            f"masks hold {first_of(held)}, and as numbers of classes these would make {classes} classes, of which "
            f"{len(gaps)} never occur: data.options: {{colours: {{a: {held[0]}, b: {held[1]}, ...}}}} names the values "
            f"that there are, a classes.txt the {classes} classes, one a line",
            where=("options", "colours"), value=list(held),
        )  # fmt: skip
    return (
        f"beware: no mask holds {first_of(gaps)}, and yet {classes} classes, 0 to {classes - 1}, are learned "
        "(data.options: {colours: {name: value}} says which there are)"
    )


def _mask_of(key: str, masks: dict[str, Entry]) -> Entry | None:
    for ending in IMAGE_ENDINGS:
        if ending and not key.endswith(ending):
            continue
        stem = key.removesuffix(ending)
        for behind in ENDINGS:
            if stem + behind in masks:
                return masks[stem + behind]
    return None


def without_word(key: str) -> str:
    """The path of a file, without its ending and without a word in its name that says that it is a mask."""
    folder, slash, name = key.rpartition("/")
    words = "|".join(WORDS)
    return folder + slash + re.sub(rf"[-_. ]({words})$|^({words})[-_. ]", "", name, flags=re.I)


def _without_words(masks: Mapping[str, Entry]) -> dict[str, Entry]:
    """Masks by the names of their images, where these are clear."""
    found = dict(masks)
    for key, entry in masks.items():
        found.setdefault(without_word(key), entry)
    return found


@dataclass(frozen=True)
class Masks:
    """Masks whose pixels are class numbers (grey or palette images) or named colours.

    Attributes:
        tree, entries: The files.
        colours: The named colours; ``None`` if pixels are class numbers.
        white: Class of pixels with 255, if those are not void.
    """

    tree: Tree
    entries: Sequence[Entry]
    colours: Colours | None = None
    white: int = VOID

    def __len__(self) -> int:
        return len(self.entries)

    def take(self, index: NDArray[np.int64]) -> Masks:
        """Some of them."""
        return replace(self, entries=[self.entries[i] for i in index])

    def values(self) -> NDArray[np.bool_]:
        """Tell which values occur in the masks, (256,).

        Raises:
            DataError: None can be read, or the values number no classes; if some can be read, the others are reported
                as bad files later.
        """

        def look(entry: Entry) -> Seen | OSError | ValueError:
            try:
                return self._opened(entry, lambda mask, numbers: Seen.of(mask, numbers, entry.path))
            except (OSError, ValueError) as error:
                return error

        with ThreadPoolExecutor() as pool:
            each = list(pool.map(look, self.entries))
        seen = [one for one in each if isinstance(one, Seen)]
        if not seen:
            if coloured := [one for one in each if isinstance(one, ColouredError)]:
                refuse_coloured(coloured)
            raise DataError(f"no mask can be read: {each[0] if each else 'there is none'}", where=("path",))
        return values_of(seen)

    def read(self, index: int, image: tuple[int, int], reading: Reading) -> NDArray[Any]:
        """Read a mask as uint8 (H, W); padding is void.

        Raises:
            ValueError: It is no mask, or not of the image's size.
        """
        numbers: NDArray[np.uint8] = self._opened(self.entries[index], lambda mask, numbers: numbers)
        if self.white != VOID:
            numbers = np.where(numbers == VOID, np.uint8(self.white), numbers)
        return fitted_mask(numbers, image, reading)

    def _opened(self, entry: Entry, use: Callable[[Image.Image, NDArray[np.uint8]], T]) -> T:
        content = self.tree.read(entry)
        with Image.open(BytesIO(content)) as mask:
            return use(mask, numbers_of(mask, entry.path, self.colours, lossless=b"VP8 " not in content[:64]))
