"""Images that are not read yet: the interface between sources and the reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chattn_nas.data.tree import Entry, Tree

#: An image as its source holds it: of Pillow, or an array (H, W, C) of any numbers.
Raw = Image.Image | NDArray[Any]


class Pictures(Protocol):
    """Images of one part of a set, opened one by one, from several threads at once."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """The name of the image in errors."""

    def open(self, index: int) -> tuple[Raw, bytes]:
        """Open the image; return it with the bytes that identify its content."""

    def take(self, index: NDArray[np.int64]) -> Pictures:
        """Some of them."""


class Targets(Protocol):
    """Targets that are read together with their image, such as masks.

    Labels do not need this: they are an array (N,) or, for several labels per image, (N, classes).
    """

    def __len__(self) -> int: ...

    def read(self, index: int, image: tuple[int, int], reading: Any) -> NDArray[Any]:
        """Read the target of one image, an array of the same shape and type for all.

        Args:
            index: Index of the image.
            image: Its width and height as stored, after EXIF rotation.
            reading: The :class:`~chattn_nas.data.decoding.Reading` that resizes the image.
        """

    def take(self, index: NDArray[np.int64]) -> Targets:
        """Some of them."""


@dataclass(frozen=True)
class Part:
    """Images with their targets."""

    images: Pictures
    targets: NDArray[Any] | Targets

    def take(self, index: NDArray[np.int64]) -> Part:
        """Select some of them."""
        targets = self.targets
        return Part(self.images.take(index), targets[index] if isinstance(targets, np.ndarray) else targets.take(index))


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A whole set before it is read.

    Attributes:
        parts: ``train`` and, if the source has them, ``validation`` and ``test``.
        class_names: Names of the classes by label.
        may_flip: Whether mirrored images have the same class, as far as the source knows.
        said: How the source was understood, in sentences for the user.
        items: The word for an image in messages.
        threads: Whether images may be opened from several threads at once.
    """

    parts: dict[str, Part]
    class_names: tuple[str, ...]
    may_flip: bool = True
    said: tuple[str, ...] = ()
    threads: bool = True


@dataclass(frozen=True)
class Found:
    """A source that was found but not read.

    Attributes:
        stamps: Names, sizes and times that identify its content without reading it.
        listing: Makes the listing.
    """

    stamps: Sequence[str]
    listing: Callable[[], Listing] = field(repr=False)


@dataclass(frozen=True)
class Files:
    """Image files of a tree."""

    tree: Tree
    entries: Sequence[Entry]

    def __len__(self) -> int:
        return len(self.entries)

    def name(self, index: int) -> str:
        """The path as the user knows it."""
        return self.tree.name(self.entries[index])

    def open(self, index: int) -> tuple[Raw, bytes]:
        """Open the image, of which only the header is read; return it with the bytes of the file."""
        content = self.tree.read(self.entries[index])
        if not content:
            raise OSError("the file is empty")
        return Image.open(BytesIO(content)), content

    def take(self, index: NDArray[np.int64]) -> Files:
        """Some of them."""
        return Files(self.tree, [self.entries[i] for i in index])


@dataclass(frozen=True)
class Arrays:
    """Images that lie in one array (N, H, W, C), perhaps on disk."""

    array: NDArray[Any]
    called: str

    def __len__(self) -> int:
        return len(self.array)

    def name(self, index: int) -> str:
        """The index in the array."""
        return f"{self.called}[{index}]"

    def open(self, index: int) -> tuple[Raw, bytes]:
        """Open one image."""
        image = np.ascontiguousarray(self.array[index])
        return image, image.tobytes()

    def take(self, index: NDArray[np.int64]) -> Arrays:
        """Select some of them; nothing is copied if it is all of them in order."""
        if len(index) == len(self.array) and (index == np.arange(len(index))).all():
            return self
        return Arrays(self.array[index], self.called)


@dataclass(frozen=True)
class Items:
    """Images that a function opens, such as those of a ``torch`` data set."""

    image: Callable[[int], Any]
    index: NDArray[np.int64]
    called: str

    def __len__(self) -> int:
        return len(self.index)

    def name(self, index: int) -> str:
        """The index in the set."""
        return f"{self.called}[{self.index[index]}]"

    def open(self, index: int) -> tuple[Raw, bytes]:
        """Open one image: Pillow's, an array (H, W) or (H, W, C), or a tensor (C, H, W)."""
        image = self.image(int(self.index[index]))
        if hasattr(image, "permute"):  # a tensor: channels first
            image = (image.permute(1, 2, 0) if image.ndim == 3 else image).numpy()
        if isinstance(image, np.ndarray):
            image = image[..., None] if image.ndim == 2 else image
            if image.ndim != 3:
                raise ValueError(f"an array of shape {image.shape} is no image")
            return image, image.tobytes()
        if not isinstance(image, Image.Image):
            raise ValueError(f"{type(image).__name__} is no image")
        return image, image.tobytes()

    def take(self, index: NDArray[np.int64]) -> Items:
        """Some of them."""
        return Items(self.image, self.index[index], self.called)


def names(pictures: Pictures, most: int = 20) -> Iterator[str]:
    """The first names."""
    yield from (pictures.name(index) for index in range(min(most, len(pictures))))
