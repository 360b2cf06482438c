"""Images with a mask each: a folder or archive as ``{part}/{images,masks}`` or ``{img_dir,ann_dir}/{part}``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from chattn_nas.data.decoding import Reading, cropped
from chattn_nas.data.layout import is_image, part_of
from chattn_nas.data.pictures import Files, Found, Listing, Part
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources.place import opened, path_of
from chattn_nas.data.tree import Entry, Tree
from chattn_nas.errors import DataError

#: Names of the folders, in any case; ``img_dir`` and ``ann_dir`` are those of mmsegmentation.
IMAGES = {"images", "image", "img", "imgs", "img_dir", "jpegimages", "leftimg8bit"}
MASKS = {"masks", "mask", "ann_dir", "annotations", "labels", "label", "segmentationclass", "gtfine"}
#: What the name of a mask may have behind that of its image, and an image itself.
ENDINGS = ("_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_L", "_gtFine_labelTrainIds", "_labelTrainIds")
IMAGE_ENDINGS = ("", "_leftImg8bit")
#: The value of pixels that count for nothing, unless a task says another.
VOID = 255


def find_masks(settings: DataSettings) -> Found:
    """The files; none is read.

    Raises:
        DataError: There is no such folder.
    """
    path = path_of(settings)
    tree, stamps = opened(path)
    if settings.resize == "pad":
        stamps.append("padded as its image")  # before 2026-11-26 by up to one pixel beside it
    return Found(stamps, lambda: _listing(tree, str(path)))


def _listing(tree: Tree, root: str) -> Listing:
    images: dict[str, dict[str, Entry]] = {}
    masks: dict[str, dict[str, Entry]] = {}
    names: Entry | None = None
    for entry in tree.entries:
        *folders, name = entry.path.split("/")
        lower = [folder.lower() for folder in folders]
        if name in ("classes.txt", "labels.txt"):
            names = entry
        kinds = [IMAGES if one in IMAGES else MASKS for one in lower if one in IMAGES | MASKS]
        if not kinds or not is_image(name):
            continue
        part = next(filter(None, map(part_of, lower)), "train")
        rest = [one for one in folders if one.lower() not in IMAGES | MASKS and not part_of(one)]
        key = "/".join([*rest, PurePosixPath(name).stem])
        held = (images if kinds[0] is IMAGES else masks).setdefault(part, {})
        if key in held:
            raise DataError(f"{root} holds {held[key].path} and {entry.path}: which is it?", where=("path",))
        held[key] = entry
    if "train" not in images or not any(masks.values()):
        raise DataError(
            f"{root} holds no images to train on with masks: they are looked for as train/images and train/masks, or "
            "as img_dir/train and ann_dir/train",
            where=("path",),
        )
    parts, said = {}, []
    for part, found in images.items():
        pairs = [(entry, _mask_of(key, masks.get(part, {}))) for key, entry in found.items()]
        bare = [entry.path for entry, mask in pairs if mask is None]
        if bare and part == "test" and len(bare) == len(pairs):
            said.append(f"the {len(bare)} test images have no masks and are left out")
            continue
        if bare:
            raise DataError(
                f"{len(bare)} image{'s have' if len(bare) > 1 else ' has'} no mask: {', '.join(bare[:5])}"
                f"{', ...' if len(bare) > 5 else ''}",
                where=("path",),
            )
        chosen = [mask for _, mask in pairs if mask is not None]
        parts[part] = Part(Files(tree, [entry for entry, _ in pairs]), Masks(tree, chosen))
    if names is not None:
        class_names = tuple(line.strip() for line in tree.read(names).decode().splitlines() if line.strip())
        said.append(f"classes are named by {names.path}")
    else:
        top = max(max(part.targets.values(), default=0) for part in parts.values())  # type: ignore[union-attr]
        class_names = tuple(map(str, range(top + 1)))
    if len(class_names) < 2:
        raise DataError(f"the masks of {root} hold one class: there is nothing to tell apart", where=("path",))
    return Listing(parts=parts, class_names=class_names, said=tuple(said))


def _mask_of(key: str, masks: dict[str, Entry]) -> Entry | None:
    for ending in IMAGE_ENDINGS:
        if ending and not key.endswith(ending):
            continue
        stem = key.removesuffix(ending)
        for behind in ("", *ENDINGS):
            if stem + behind in masks:
                return masks[stem + behind]
    return None


@dataclass(frozen=True)
class Masks:
    """Masks whose pixels are the numbers of classes: grey or palette images of eight bits."""

    tree: Tree
    entries: Sequence[Entry]

    def __len__(self) -> int:
        return len(self.entries)

    def take(self, index: NDArray[np.int64]) -> Masks:
        """Some of them."""
        return Masks(self.tree, [self.entries[i] for i in index])

    def values(self) -> Iterator[int]:
        """The largest class of every mask."""

        def largest(entry: Entry) -> int:
            try:
                held = np.asarray(self._open(entry))
            except (OSError, ValueError):
                return 0  # it is told as bad when its turn comes
            return int(held[held != VOID].max(initial=0))

        with ThreadPoolExecutor() as pool:
            yield from pool.map(largest, self.entries)

    def read(self, index: int, image: tuple[int, int], reading: Reading) -> NDArray[Any]:
        """(H, W) uint8; what padding adds is void.

        Raises:
            ValueError: It is no mask, or not of the image's size.
        """
        mask = self._open(self.entries[index])
        if mask.size != image:
            raise ValueError(f"its mask is {'x'.join(map(str, mask.size))} px, the image {'x'.join(map(str, image))}")
        size = reading.size[::-1]
        if reading.resize == "crop":
            mask = cropped(mask, reading.size)
        elif reading.resize == "pad" and mask.size != size:  # by Pillow, as its image: they lie on each other
            return np.asarray(ImageOps.pad(mask, size, Image.Resampling.NEAREST, color=VOID))
        return np.asarray(mask.resize(size, Image.Resampling.NEAREST))

    def _open(self, entry: Entry) -> Image.Image:
        mask = Image.open(BytesIO(self.tree.read(entry)))
        mask.load()
        if mask.mode not in ("L", "P", "1"):
            raise ValueError(f"its mask {entry.path} is {mask.mode}, not the number of a class per pixel (index PNG)")
        # A palette only colours the numbers, which are what counts.
        return Image.fromarray(np.asarray(mask).astype(np.uint8), "L") if mask.mode != "L" else mask
