"""Splits a data set: images to train on, to score the search on, and to keep for the verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.description import Description
from chattn_nas.data.settings import DataSettings
from chattn_nas.errors import DataError

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Indices into the parts of the source.

    Attributes:
        train: Indices into the part ``train``.
        validation, test: A part of the source, and indices in it; ``None`` if there are no test images.
        said: One sentence on the split.
    """

    train: Index
    validation: tuple[str, Index]
    test: tuple[str, Index] | None
    said: str

    def rows(self) -> dict[str, tuple[str, Index]]:
        """Part of the source and indices in it by use: ``training``, ``validation`` and, if there is one, ``test``."""
        rows = {"training": ("train", self.train), "validation": self.validation}
        return rows | ({"test": self.test} if self.test is not None else {})


def split(description: Description, labels: NDArray[np.int64] | None, settings: DataSettings) -> Split:
    """Split every class in the same proportion, drawn under ``data.seed``.

    Args:
        description: Description of the whole set.
        labels: Labels of the part ``train``, (N,); ``None`` ignores classes, as for several labels per image.
        settings: ``validation``, ``test``, ``train_limit``, ``seed``.

    Raises:
        DataError: Classes have too few images (the message names them), or a requested part exists already.
    """
    parts = description.parts
    images = parts["train"].images
    rng = np.random.default_rng(settings.seed)
    own_validation, own_test = "validation" in parts, "test" in parts
    if settings.test is not None and own_test:
        raise DataError(
            f"the set has {parts['test'].images:,} test images of its own: data.test is for sets without",
            where=("test",),
        )
    shares = {} if own_validation else {"validation": settings.validation}
    if settings.test is not None:
        shares["test"] = settings.test
    groups = [np.arange(images)] if labels is None else [np.flatnonzero(labels == one) for one in np.unique(labels)]
    _check_sizes(description, groups, shares, settings, labels is not None)
    taken: dict[str, list[Index]] = {"train": [], **{name: [] for name in shares}}
    for group in groups:
        members = rng.permutation(group)
        start = 0
        for name, share in shares.items():
            count = round(share * len(members))
            taken[name].append(members[start : start + count])
            start += count
        taken["train"].append(members[start:])
    drawn = {name: np.sort(np.concatenate(pieces)) for name, pieces in taken.items()}
    train = drawn["train"]
    if settings.train_limit is not None and settings.train_limit < len(train):
        train = _limited(train, labels, settings.train_limit, rng, description)
    return Split(
        train=train,
        validation=("validation", np.arange(parts["validation"].images)) if own_validation
        else ("train", drawn["validation"]),
        test=("test", np.arange(parts["test"].images)) if own_test
        else ("train", drawn["test"]) if "test" in drawn else None,
        said=_said(shares, own_validation, own_test, settings, len(train)),
    )  # fmt: skip


def _check_sizes(
    description: Description, groups: list[Index], shares: dict[str, float], settings: DataSettings, classes: bool
) -> None:
    for name, share in shares.items():
        small = [
            (number, len(group)) for number, group in enumerate(groups)
            if not 0 < round(share * len(group)) < len(group) - (len(shares) - 1)
        ]  # fmt: skip
        if not small:
            continue
        if not classes:
            raise DataError(
                f"{len(groups[0])} training images are too few for {share:g} of them to be the {name} set",
                where=(name,),
            )
        listed = ", ".join(f"{description.class_names[number]!r} ({images})" for number, images in small[:20])
        more = f" and {len(small) - 20} more" if len(small) > 20 else ""
        which = description.class_names[small[0][0]]
        noun, have, them = ("classes", "have", "them") if len(small) > 1 else ("class", "has", "it")
        raise DataError(
            f"{noun} {listed}{more} {have} too few training images for {share:g} of them to be the {name} set: add "
            f"images, leave {them} out (data.classes: {{{which}: null}}) or merge {them} with another",
            where=(name,),
        )


def _limited(
    train: Index, labels: NDArray[np.int64] | None, limit: int, rng: np.random.Generator, description: Description
) -> Index:
    """Limit the training images, with every class in its proportion and at least one image each."""
    if labels is None:
        return np.sort(rng.permutation(train)[:limit])
    classes, counts = np.unique(labels[train], return_counts=True)
    if limit < len(classes):
        raise DataError(
            f"data.train_limit {limit} is below the {len(classes)} classes: every class needs an image",
            where=("train_limit",),
        )
    exact = counts * (limit / len(train))
    wanted = np.maximum(1, np.floor(exact).astype(int))
    order = np.argsort(-(exact - np.floor(exact)), kind="stable")
    while wanted.sum() < limit:
        for index in order:
            if wanted.sum() < limit and wanted[index] < counts[index]:
                wanted[index] += 1
    while wanted.sum() > limit:
        wanted[np.argmax(wanted)] -= 1
    kept = [rng.permutation(train[labels[train] == one])[:count] for one, count in zip(classes, wanted)]
    return np.sort(np.concatenate(kept))


def _said(
    shares: dict[str, float], own_validation: bool, own_test: bool, settings: DataSettings, trained_on: int
) -> str:
    left = 100 * (1 - sum(shares.values()))
    parts = [f"{left:.0f}", *(f"{100 * share:.0f}" for share in shares.values())]
    names = ["training", *shares]
    first = f"the training images are split {':'.join(parts)} ({', '.join(names)})" if shares else ""
    second = "the set's own validation images score the search" if own_validation else ""
    if own_validation and "validation" in settings.model_fields_set:
        second += f" (data.validation: {settings.validation:g} is for sets without, and not used)"
    third = "the set's own test images are kept for the verdict" if own_test else ""
    if not own_test and "test" not in shares:
        third = "there are no test images, so no verdict will be read from them (data.test: 0.2 keeps some)"
    if settings.dataset == "patches":  # which tells itself how its pictures are split
        second, third = "", "" if own_test else third
    limit = f"{trained_on:,} of them are trained on (data.train_limit)" if settings.train_limit else ""
    return "; ".join(filter(None, (first, second, third, limit)))
