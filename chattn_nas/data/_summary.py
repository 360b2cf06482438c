"""Describes a data set in a few sentences, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chattn_nas.data.boxes import are_boxes, counted, objects
from chattn_nas.data.duplicates import Duplicates, duplicates
from chattn_nas.data.enough import LEAST_VALIDATION, as_many_as, few_updates
from chattn_nas.data.load import divide
from chattn_nas.data.settings import DataSettings
from chattn_nas.data.split import Split
from chattn_nas.data.store import ImageStore
from chattn_nas.image_size import shown
from chattn_nas.plural import first_of, plural

#: Pixels below which an object can hardly be found.
LEAST_SIDE = 4
#: Bytes of images in which copies are looked for, about two seconds' worth.
LOOKED_AT = 2**30


def summary(
    settings: DataSettings, *, batch_size: int, epochs: int, copies: Sequence[Duplicates] | None = None
) -> list[str]:
    """Describe a set in sentences: its contents, how it was read and split, oddities, and shortages.

    Args:
        settings: Settings of the set.
        batch_size, epochs: Batch size and epochs of a whole trial.
        copies: Duplicate images, where they are known; else they are looked for in sets of up to 1 GiB.

    Raises:
        DataError: The set is missing or malformed.
    """
    stored, parts = divide(settings)
    facts = stored.description
    counts = [f"{len(parts.train):,} training", f"{len(parts.validation[1]):,} validation"]
    if parts.test is not None:
        counts.append(f"{len(parts.test[1]):,} test")
    kind = "labels, several per image" if facts.multilabel else "classes"
    channels = "one channel" if facts.channels == 1 else f"{facts.channels} channels"
    classes = f" of {len(facts.class_names)} {kind}" if facts.class_names else ""
    sentences = [f"{', '.join(counts)} images{classes}, {channels}, {shown(facts.image_size)}"]
    sentences += [*facts.said, *filter(None, [parts.said]), *(f"beware: {one}" for one in facts.warned)]
    sentences += _shares(stored, parts, settings.metric)
    if copies is None:
        copies = duplicates(settings) if sum(held.nbytes for held in stored.images.values()) <= LOOKED_AT else []
    sentences += [f"beware: {one.words}" for one in copies]
    if few := few_updates(len(parts.train) // min(batch_size, len(parts.train)) * epochs, batch_size):
        sentences.append(f"beware: {few}")
    part, rows = parts.validation
    if len(rows) < LEAST_VALIDATION and stored.targets["train"].ndim == 1:
        balanced = settings.metric == "balanced_accuracy"
        counting = as_many_as(stored.targets[part][rows], settings.metric)
        sentences.append(
            f"beware: {len(rows)} validation images tell {'a balanced' if balanced else 'an'} accuracy of 80 % only "
            f"to within ±{196 * np.sqrt(0.8 * 0.2 / counting):.1f} points (95 %)"
        )
    return sentences


def majority(settings: DataSettings) -> tuple[str, float] | None:
    """The most common class of the validation images and its share, which is the score of always answering it.

    ``None`` if an image may have several labels.
    """
    stored, parts = divide(settings)
    part, rows = parts.validation
    labels = stored.targets[part][rows]
    if labels.ndim != 1:
        return None
    counts = np.bincount(labels)
    return stored.description.class_names[int(counts.argmax())], float(counts.max() / counts.sum())


def _shares(stored: ImageStore, parts: Split, metric: str | None) -> list[str]:
    """A sentence on the shares of the classes, if they are far from even."""
    labels = stored.targets["train"][parts.train]
    names = stored.description.class_names
    if are_boxes(labels):
        return _boxes(labels, names)
    if labels.ndim == 2 and labels.shape[1] == len(names):
        shares = labels.mean(0)
        part, rows = parts.validation
        absent = [name for name, one in zip(names, stored.targets[part][rows].sum(0).tolist()) if not one]
        told = (
            f"beware: no validation image is of class {first_of(absent)}: in means over classes it counts as nothing "
            "found"
        )
        return [
            f"labels per image: {labels.sum(1).mean():.2f} on average; {_listed(names, shares)}",
            *[told] * bool(absent),
        ]
    if labels.ndim != 1:
        return []
    counts = np.bincount(labels, minlength=len(names))
    if counts.max() < 2 * counts.min():
        return []
    shares = counts / counts.sum()
    most = int(counts.argmax())
    return [
        f"beware: classes are uneven: {_listed(names, shares)}; always answering {names[most]!r} would score "
        f"{100 * shares[most]:.1f} % accuracy (see {'data.metric, ' * (metric is None)}data.class_weights and "
        "data.sampling)"
    ]


def _boxes(targets: NDArray[np.float32], names: tuple[str, ...]) -> list[str]:
    """Sentences on the number, classes and sizes of the boxes."""
    present = objects(targets)
    if not present.any():
        return ["beware: the training images show no object: there is no box to learn from"]
    counts = counted(targets, len(names))
    sides = np.sort(targets[present][:, 2:4] - targets[present][:, :2], axis=1)
    sentences = [
        f"{plural(len(sides), 'box')} in the training images, {present.sum(1).mean():.1f} in each: "
        + _listed(names, counts / counts.sum()),
        f"half of the boxes are at most {np.median(sides[:, 1]):.0f} px long where they are trained on",
    ]
    tiny = float((sides[:, 0] < LEAST_SIDE).mean())
    if tiny > 0.1:
        sentences.append(
            f"beware: {100 * tiny:.0f} % of the boxes are less than {LEAST_SIDE} px wide or high there, too small "
            "to be found: a larger data.image_size helps"
        )
    return sentences


def _listed(names: tuple[str, ...], shares: np.ndarray) -> str:  # type: ignore[type-arg]
    order = np.argsort(-shares, kind="stable")
    chosen = order if len(order) <= 8 else [*order[:4], *order[-3:]]
    words = [f"{names[index]} {100 * shares[index]:.1f} %" for index in chosen]
    if len(order) > 8:
        words.insert(4, "...")
    return ", ".join(words)
