"""Selects, renames, merges and leaves out classes as the spec says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.boxes import Boxes
from chattn_nas.data.pictures import Listing, Part
from chattn_nas.errors import DataError

Classes = Sequence[str] | Mapping[str, str | None]


def sorted_names(names: set[str]) -> list[str]:
    """Sort names in the order of labels: as numbers if all are numbers, else as text."""
    if names and all(name.isdecimal() for name in names):
        return sorted(names, key=int)
    return sorted(names)


def label(names: Sequence[str], class_names: Sequence[str]) -> NDArray[np.int64]:
    """The labels (N,) of the classes with these names."""
    number = {name: index for index, name in enumerate(class_names)}
    return np.array([number[name] for name in names], np.int64)


def choose(listing: Listing, classes: Classes | None) -> Listing:
    """Return the listing with the classes that the spec asks for.

    Args:
        listing: The listing of the source.
        classes: A list selects classes, in this order. A mapping renames classes, merges those with the same new name,
            and leaves out those with the name ``None``; others stay as they are.

    Raises:
        DataError: A class does not exist.
    """
    if classes is None:
        return listing
    unknown = [name for name in classes if name not in listing.class_names]
    if unknown:
        raise DataError(
            f"there is no class {unknown[0]!r}", where=("classes",), value=unknown[0], choices=listing.class_names
        )
    if isinstance(classes, Mapping):
        renamed = [classes.get(name, name) for name in listing.class_names]
        kept = list(dict.fromkeys(name for name in renamed if name is not None))
    else:
        kept = list(dict.fromkeys(classes))
        renamed = [name if name in classes else None for name in listing.class_names]
    number = np.array([-1 if name is None else kept.index(name) for name in renamed], np.int64)
    parts = {part: _renumbered(samples, number, len(kept)) for part, samples in listing.parts.items()}
    out = [name for name, to in zip(listing.class_names, renamed) if to is None]
    said = (f"left out by data.classes: {', '.join(out)}",) if out else ()
    return Listing(
        parts=parts, class_names=tuple(kept), may_flip=listing.may_flip, said=(*listing.said, *said),
        threads=listing.threads,
    )  # fmt: skip


def _renumbered(part: Part, number: NDArray[np.int64], classes: int) -> Part:
    targets = part.targets
    if isinstance(targets, Boxes):
        return Part(part.images, targets.renumbered(number))
    if not isinstance(targets, np.ndarray):
        raise DataError("data.classes needs a set whose targets are labels", where=("classes",))
    if targets.ndim == 1:
        labels = number[targets]
        keep = np.flatnonzero(labels >= 0)
        return Part(part.images.take(keep), labels[keep])
    merged = np.zeros((len(targets), classes), targets.dtype)
    for old, new in enumerate(number):
        if new >= 0:
            merged[:, new] |= targets[:, old]
    return Part(part.images, merged)


def check_classes(listing: Listing) -> list[str]:
    """Refuse sets that nothing can be learned from; return sentences on whatever is odd but possible.

    Raises:
        DataError: There are fewer than two classes, or a class has no training image.
    """
    names = listing.class_names
    counts = {part: count(samples, len(names)) for part, samples in listing.parts.items()}
    if any(by_class is None for by_class in counts.values()):
        return []  # targets that a task reads
    train = counts["train"]
    assert train is not None
    boxes = isinstance(listing.parts["train"].targets, Boxes)
    multilabel = not boxes and listing.parts["train"].targets.ndim == 2  # type: ignore[union-attr]
    units = "boxes" if boxes else "images"
    _refuse_untrained(names, counts, train, units)
    empty = [names[index] for index in np.flatnonzero(train == 0)]
    if empty:
        raise DataError(
            f"no {'training box' if boxes else 'image'} is of class {', '.join(map(repr, empty))}: add some, or leave "
            f"it out (data.classes: {{{empty[0]}: null}})",
            where=("path",),
        )
    if len(names) < (1 if multilabel or boxes else 2):
        raise DataError(
            f"all {int(train.sum())} images are of one class, {names[0]!r}: there is nothing to tell apart",
            where=("path",),
        )
    said = _alike(names)
    for part, by_class in counts.items():
        if by_class is not None and part != "train":
            missing = [names[index] for index in np.flatnonzero(by_class == 0)]
            if missing:
                said.append(f"the {part} images hold none of class {', '.join(missing)}")
    return said


def _alike(names: Sequence[str]) -> list[str]:
    """Sentences on names that are one but for case, blanks, or the form of a number."""
    first: dict[str, str] = {}
    sentences = []
    for name in names:
        plain = " ".join(name.casefold().split())
        key = plain.removesuffix(".0") if plain.removesuffix(".0").isdecimal() else plain
        if first.setdefault(key, name) != name:
            sentences.append(
                f"{first[key]!r} and {name!r} are two classes: if they are meant as one, data.classes: "
                f"{{{name!r}: {first[key]!r}}} merges them"
            )
    return sentences


def _refuse_untrained(
    names: tuple[str, ...], counts: Mapping[str, NDArray[np.int64] | None], train: NDArray[np.int64], units: str
) -> None:
    """Refuse parts that hold classes of which there is no training image."""
    for part, by_class in counts.items():
        if by_class is None:
            continue
        odd = {names[index]: int(by_class[index]) for index in np.flatnonzero((by_class > 0) & (train == 0))}
        if odd:
            listed = ", ".join(f"{name!r} ({images} {units})" for name, images in odd.items())
            known = {name.lower(): name for name, images in zip(names, train) if images}
            alike = {name: known[name.lower()] for name in odd if name.lower() in known}
            if alike:
                merged = ", ".join(f"{name}: {to}" for name, to in alike.items())
                raise DataError(
                    f"the {part} images hold classes that no training image has: {listed}; they differ in case alone: "
                    f"rename the folders, or merge them with data.classes: {{{merged}}}",
                    where=("path",),
                )
            raise DataError(
                f"the {part} images hold classes that no training image has: {listed}; rename or leave them out with "
                "data.classes, or add training images",
                where=("path",),
            )


def count(part: Part, classes: int) -> NDArray[np.int64] | None:
    """Number of images or boxes per class; ``None`` if targets are neither labels nor boxes."""
    targets = part.targets
    if isinstance(targets, Boxes):
        return targets.counts(classes)
    if not isinstance(targets, np.ndarray) or targets.ndim > 2:
        return None
    if targets.ndim == 2:
        return targets.astype(np.int64).sum(0)
    return np.bincount(targets, minlength=classes)
