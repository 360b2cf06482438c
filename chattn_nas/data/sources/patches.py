"""Patches of pictures in high and low resolution: high resolution alone, or both in folders side by side.

``image_size`` is that of a low-resolution patch; ``options: {scale: 2}`` says how much larger its target is. Missing
low-resolution pictures are made by bicubic reduction, as in the benchmarks of super-resolution.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from chattn_nas.data.decoding import DEEP, TURNED
from chattn_nas.data.layout import answers, is_image, part_of
from chattn_nas.data.pictures import Found, Listing, Part, Raw
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.place import path_of
from chattn_nas.data.tree import Entry, Tree, open_tree
from chattn_nas.errors import DataError
from chattn_nas.image_size import pair, shown
from chattn_nas.plural import first_of, plural

SCALES = (2, 3, 4)
#: Pairs of pictures that are looked at, and the correlation of their pixels below which they show different things.
LOOKED, ALIKE = 8, 0.5
#: Words in the names of folders, in any case.
HIGH, LOW = {"hr", "high", "gt", "target", "targets"}, {"lr", "low", "lq", "input", "inputs"}


def find_patches(settings: DataSettings) -> Found:
    """Find the files; none is read.

    Raises:
        DataError: There is no such folder, or no scale.
    """
    scale = settings.options.get("scale", 2)
    if set(settings.options) - {"scale"} or scale not in SCALES:
        raise DataError(
            f"data.options of patches are scale: 2, 3 or 4, not {settings.options}", where=("options",), choices=SCALES
        )
    path = path_of(settings)
    tree = open_tree(path)
    # The split of pictures is part of what is read: patches of one picture never lie in two parts.
    stamps = [str(path.absolute()), f"{settings.validation} {settings.test} {settings.seed}"]
    stamps += [f"{entry.path} {entry.stamp}" for entry in tree.entries]
    stamps.append("transparency shows the background")  # earlier versions dropped it
    return Found(stamps, lambda: _listing(tree, str(path), settings, int(scale)))


def _listing(tree: Tree, root: str, settings: DataSettings, scale: int) -> Listing:
    said: list[str] = []
    high, low = high_and_low(tree, root, scale, said)
    if not high.get("train"):
        raise DataError(f"there are no pictures to train on in {root}", where=("path",))
    parts_of = {part: list(pictures) for part, pictures in high.items()}
    rng = np.random.default_rng(settings.seed)
    for part, share in (("validation", settings.validation), ("test", settings.test)):
        if part == "test" and part in parts_of and share is not None:
            raise DataError(f"{root} has test pictures of its own: data.test is for sets without", where=(part,))
        if part in parts_of:
            said.append(f"the set's own {part} pictures are the {part} set")
            continue
        if share is None:
            continue
        names = parts_of["train"]
        count = round(share * len(high["train"]))
        if not 0 < count < len(names):
            pictures = "1 picture is" if len(names) == 1 else f"{len(names)} pictures are"
            raise DataError(f"{pictures} too few for {share:g} of them to be the {part} set",
                            where=(part,))  # fmt: skip
        chosen = {names[index] for index in rng.permutation(len(names))[:count]}
        parts_of["train"] = [one for one in names if one not in chosen]
        parts_of[part] = [one for one in names if one in chosen]
        high[part], low[part] = high["train"], low.get("train", {})
        said.append(f"{count} of the training pictures, all their patches, are the {part} set")
    paired = any(low.values())
    if not paired:
        _refuse_unnamed_pairs(
            tree, root, list({entry.path: entry for pictures in high.values() for entry in pictures.values()}.values())
        )
        said.append(f"low resolution is made from high by bicubic reduction to 1/{scale}")
    parts = {}
    for part, names in parts_of.items():
        if paired and (bare := [one for one in names if one not in low.get(part, {})]):
            have = "pictures have" if len(bare) > 1 else "picture has"
            raise DataError(f"{len(bare)} {have} no low resolution: {first_of(bare)}", where=("path",))
        pairs = [(high[part][one], low[part][one] if paired else None) for one in names]
        mode = "L" if settings.channels == 1 else "RGB"
        source = _Source(tree, pairs, pair(settings.image_size), scale, mode, settings.background)
        source.check_scale()
        if unlike := source.unlike():
            said.append(
                f"beware: {len(unlike)} of {min(LOOKED, len(pairs))} {part} pairs looked at do not show the same "
                f"picture, such as {unlike[0]}: are names mixed up, or is one mirrored or turned?"
            )
        index, small = source.grid()
        if small:
            said.append(f"smaller than a patch, left out: {plural(small, f'{part} picture')}")
        if not len(index):
            raise DataError(
                f"no {part} picture in {root} is as large as a patch of {shown(source.large)}: a "
                "smaller data.image_size may help",
                where=("image_size",),
            )
        parts[part] = Part(Patches(source, index), HighPatches(source, index))
    return Listing(parts=parts, class_names=(), said=tuple(said))


def _refuse_unnamed_pairs(tree: Tree, root: str, pictures: Sequence[Entry]) -> None:
    """Refuse folders with the same names, half as large in one: the same pictures would be learned from and scored."""
    named: dict[str, list[Entry]] = {}
    for entry in pictures:
        named.setdefault(PurePosixPath(entry.path).stem, []).append(entry)
    pairs = [(one[0], one[1]) for one in named.values() if len(one) == 2]
    if not pairs or 2 * len(pairs) < len(named):
        return
    sizes = [sorted(size_of(tree, one) for one in both) for both in pairs[:: max(1, len(pairs) // LOOKED)]]
    scales = [scales_between(large, small) for small, large in sizes]
    if all(scales):
        one, two = pairs[0]
        raise DataError(
            f"{root} holds {one.path} and {two.path}, of which one is {max(first for first, *_ in scales)} times as "
            "large: if they are one picture in high and low resolution, call their folders HR and LR",
            where=("path",),
        )


def size_of(tree: Tree, entry: Entry) -> tuple[int, int]:
    """Width and height as it is shown; of what is no picture those of a very large one: reading it reports that."""
    try:
        with Image.open(BytesIO(tree.read(entry))) as image:
            width, height = image.size
            return (height, width) if image.getexif().get(0x0112, 1) in TURNED else (width, height)
    except Exception:  # whatever a broken file makes Pillow raise
        return 2**16, 2**16


def scales_between(large: tuple[int, int], small: tuple[int, int]) -> list[int]:
    """The scales at which a picture of one size is the other in low resolution."""
    return [one for one in SCALES if (large[0] // one, large[1] // one) == small]


def high_and_low(
    tree: Tree, root: str, scale: int, said: list[str] | None = None
) -> tuple[dict[str, dict[str, Entry]], dict[str, dict[str, Entry]]]:
    """Group pictures by part and name; low resolution is recognised by the names of folders.

    Args:
        tree: The files.
        root: The place as the user knows it.
        scale: Scale of the high-resolution pictures; names of the others may contain ``x2``. 0 takes any.
        said: Takes sentences for the user.

    Raises:
        DataError: Two low-resolution pictures have the same name.
    """
    times = str(scale) if scale else f"[{min(SCALES)}-{max(SCALES)}]"
    high: dict[str, dict[str, Entry]] = {}
    low: dict[str, dict[str, Entry]] = {}
    aside = answers(tree.entries, [] if said is None else said)
    for entry in tree.entries:
        if not is_image(entry.path) or entry.path in aside:
            continue
        *folders, name = entry.path.split("/")
        words = [word for folder in folders for word in re.split(r"[\W_]+", folder.lower())]
        part = next(filter(None, map(part_of, words)), "train")
        smaller = bool(LOW & set(words))
        stem = re.sub(rf"x{times}$", "", PurePosixPath(name).stem, flags=re.I) if smaller else PurePosixPath(name).stem
        classes = [one for one in folders if not any(map(_says, re.split(r"[\W_]+", one.lower())))]
        place = [one for one in classes if not re.fullmatch(rf"x{times}", one, re.I)]
        held, key = (low if smaller else high).setdefault(part, {}), "/".join([*place, stem])
        if key in held and not smaller:
            key += PurePosixPath(name).suffix  # another picture of the same name
        if key in held:
            raise DataError(f"{root} holds {held[key].path} and {entry.path}: which is it?", where=("path",))
        held[key] = entry
    return high, low


def _says(word: str) -> bool:
    """Whether a word in a folder's name gives the resolution or the part, and not the contents."""
    return word in HIGH | LOW or part_of(word) is not None


class _Source:
    """The pictures of one part; the last few opened are cached, since patches of one picture follow each other."""

    def __init__(
        self, tree: Tree, pairs: Sequence[tuple[Entry, Entry | None]], size: tuple[int, int], scale: int,
        mode: str, background: str,
    ) -> None:  # fmt: skip
        self.tree, self.pairs, self.size, self.scale, self.mode = tree, pairs, size, scale, mode
        self.background = background
        self.large = (size[0] * scale, size[1] * scale)
        self.opened = lru_cache(32)(self._opened)
        self.failed: set[int] = set()

    def _opened(self, number: int) -> tuple[Image.Image, Image.Image | None]:
        try:
            return self._both(number)
        except Exception:
            self.failed.add(number)
            raise

    def _both(self, number: int) -> tuple[Image.Image, Image.Image | None]:
        high, low = self.pairs[number]
        larger = self._read(high)
        if low is None:
            return larger, None
        smaller = self._read(low)
        wanted = (larger.width // self.scale, larger.height // self.scale)
        if smaller.size != wanted:
            raise ValueError(f"{low.path} is {smaller.size}, not {wanted}: 1/{self.scale} of {high.path}")
        return larger, smaller

    def _read(self, entry: Entry) -> Image.Image:
        image: Image.Image = Image.open(BytesIO(self.tree.read(entry)))
        if image.mode.startswith(DEEP):
            raise ValueError(f"{entry.path} has more than eight bits per pixel ({image.mode}): eight are taken")
        image = ImageOps.exif_transpose(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, self.background), image)
        return image.convert(self.mode)

    def check_scale(self) -> None:
        """Refuse pairs with another scale than that of the spec, by the first pair.

        Raises:
            DataError: The scale differs; the message names it.
        """
        high, low = self.pairs[0]
        if low is None:
            return
        try:
            large, small = (self._read(one).size for one in (high, low))
        except Exception:  # told as bad when its turn comes
            return
        fitting = scales_between(large, small)
        if fitting and self.scale not in fitting:
            raise DataError(
                f"{high.path} is {shown(large[::-1])} and {low.path} {shown(small[::-1])}, and data.options say scale: "
                f"{self.scale}: it is {fitting[0]}",
                where=("options",),
            )

    def unlike(self) -> list[str]:
        """Low-resolution pictures, of some that are looked at, that do not resemble their high-resolution one."""
        found = []
        for number in dict.fromkeys(np.linspace(0, len(self.pairs) - 1, LOOKED).astype(int).tolist()):
            try:
                high, low = self.opened(number)
            except Exception:  # told as bad when its turn comes
                continue
            if low is None:
                return []
            one, two = (np.asarray(image.convert("L"), np.float64).ravel() for image in (high.resize(low.size), low))
            if min(one.std(), two.std()) > 1 and np.corrcoef(one, two)[0, 1] < ALIKE:
                found.append(str(self.pairs[number][1].path))  # type: ignore[union-attr]
        return found

    def grid(self) -> tuple[NDArray[np.int64], int]:
        """Picture, top and left of adjacent patches, (n, 3), and the number of pictures that are too small."""
        corners, small = [], 0
        tall, wide = self.large
        for number, (high, _) in enumerate(self.pairs):
            try:
                with Image.open(BytesIO(self.tree.read(high))) as image:
                    width, height = image.size
                    if image.getexif().get(0x0112, 1) in TURNED:
                        width, height = height, width
            except Exception:  # told as bad when its turn comes
                height, width = self.large
            rows, columns = height // tall, width // wide
            small += not rows * columns
            corners += [(number, row * tall, column * wide) for row in range(rows) for column in range(columns)]
        return np.array(corners, np.int64).reshape(-1, 3), small


@dataclass(frozen=True)
class _Chosen:
    """Some patches of a part: picture, top and left of each, (n, 3)."""

    source: _Source
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    def take(self, index: NDArray[np.int64]) -> Self:
        """Some of them."""
        return replace(self, index=self.index[index])


class Patches(_Chosen):
    """Patches in low resolution."""

    def name(self, index: int) -> str:
        """The patch's picture, and its place in it; the picture alone if it cannot be opened."""
        number, top, left = self.index[index]
        picture = self.source.tree.name(self.source.pairs[number][0])
        return picture if number in self.source.failed else f"{picture}[{top}:, {left}:]"

    def open(self, index: int) -> tuple[Raw, bytes]:
        """Open the patch; return it with the pixels of both resolutions."""
        number, top, left = map(int, self.index[index])
        high, low = self.source.opened(number)
        (height, width), scale = self.source.size, self.source.scale
        large = high.crop((left, top, left + width * scale, top + height * scale))
        if low is None:
            patch = large.resize((width, height), Image.Resampling.BICUBIC)
        else:
            patch = low.crop((left // scale, top // scale, left // scale + width, top // scale + height))
        return patch, patch.tobytes() + large.tobytes()


class HighPatches(_Chosen):
    """The picture in high resolution, which the network is to produce."""

    def read(self, index: int, image: tuple[int, int], reading: Any) -> NDArray[np.uint8]:
        """Read the patch as uint8 (C, scale H, scale W)."""
        number, top, left = map(int, self.index[index])
        height, width = self.source.large
        pixels = np.asarray(self.source.opened(number)[0].crop((left, top, left + width, top + height)))
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
