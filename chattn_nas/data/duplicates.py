"""Finds images that come twice, above all those that are trained on and score a network as well."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.load import divide
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.sources import find_source
from chattn_nas.data.split import Index
from chattn_nas.data.store import ImageStore
from chattn_nas.plural import plural

#: So many pairs are named.
SHOWN = 5


@dataclass(frozen=True)
class Duplicates:
    """Images that are equal in the form in which they are trained on.

    Attributes:
        first, second: The parts that they are in; both ``training`` for duplicates within it.
        count: Number of images of the second part that the first one holds as well.
        contradicting: How many of them have different targets.
        examples: Names of at most five pairs.
    """

    first: str
    second: str
    count: int
    contradicting: int
    examples: tuple[tuple[str, str], ...]

    @property
    def leaks(self) -> bool:
        """Whether images that score a network were also trained on."""
        return self.first != self.second

    @property
    def words(self) -> str:
        """The same in a sentence, with one pair as an example."""
        one = self.count == 1
        if self.leaks:
            as_well = f"a {self.first} image as well: the score is too good by it"
            if not one:
                as_well = f"{self.first} images as well: the score is too good by them"
            text = f"{plural(self.count, f'{self.second} image')} {'is' if one else 'are'} {as_well}"
        else:
            text = f"{plural(self.count, 'training image')} {'is a copy of another' if one else 'are copies of others'}"
        if self.contradicting:
            text += f", {self.contradicting} with another label"
        return f"{text} (such as {' = '.join(self.examples[0])})"


def duplicates(settings: DataSettings) -> list[Duplicates]:
    """Find images of one part that another holds as well, and duplicates among the training images.

    Args:
        settings: Settings of the set.

    Raises:
        DataError: The set is missing or malformed.
    """
    stored, parts = divide(settings)
    rows = parts.rows()
    hashes = {name: list(_hashes(stored.images[part], index)) for name, (part, index) in rows.items()}
    pairs = [("training", "training"), *combinations(rows, 2)]
    met = {pair: twins for pair in pairs if (twins := _twins(hashes, *pair))}
    if not met:
        return []
    names = _names(settings, stored)
    found = []
    for (first, second), twins in met.items():
        (part_a, index_a), (part_b, index_b) = rows[first], rows[second]
        contradicting = sum(
            not np.array_equal(stored.targets[part_a][index_a[a]], stored.targets[part_b][index_b[b]]) for a, b in twins
        )
        examples = tuple((names(part_a, index_a[a]), names(part_b, index_b[b])) for a, b in twins[:SHOWN])
        found.append(Duplicates(first, second, len(twins), contradicting, examples))
    return found


def _twins(hashes: dict[str, list[bytes]], first: str, second: str) -> list[tuple[int, int]]:
    """Places of equal images in two parts, the first place in the first part; or of copies within one."""
    known: dict[bytes, int] = {}
    for place, key in enumerate(hashes[first]):
        known.setdefault(key, place)
    return [
        (known[key], place) for place, key in enumerate(hashes[second])
        if key in known and (first != second or known[key] != place)
    ]  # fmt: skip


def _hashes(images: NDArray[np.uint8], index: Index) -> Iterator[bytes]:
    return (hashlib.blake2b(images[place].tobytes(), digest_size=12).digest() for place in index)


def _names(settings: DataSettings, stored: ImageStore) -> Callable[[str, int], str]:
    """The name of an image by its part and index; the index if files were left out."""
    listing = find_source(settings)(settings).listing()
    whole = not settings.classes and not any(facts.bad for facts in stored.description.parts.values())

    def name(part: str, place: int) -> str:
        return listing.parts[part].images.name(int(place)) if whole else f"{part}[{place}]"

    return name
