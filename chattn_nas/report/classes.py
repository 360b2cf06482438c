"""A network's figures on every class: recall, precision, and the confusion of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chattn_nas.report.cells import Cell, Column, ReportTable, number
from chattn_nas.report.figures import Figure, layout
from chattn_nas.results import words
from chattn_nas.study.record import Record

#: Figures of every class that a task may keep, 0 to 1: heading and what it means, in the order of the table.
FIGURES = {
    "recall": ("recall %", "share of the images of this class that are found"),
    "precision": ("precision %", "share of the images said to be of this class that are"),
    "iou": ("IoU %", "pixels in common over pixels of either"),
    "ap": ("AP", "average precision of its boxes, mean over overlaps (IoU) from 0.50 to 0.95"),
    "ap_50": ("AP50", "average precision of its boxes at an overlap (IoU) of 0.50"),
}


@dataclass(frozen=True)
class ClassFigures:
    """Figures by class of one network: its complete trainings, at their last rung, on the validation images.

    Attributes:
        names: Names of the K classes.
        figures: The available ones of :data:`FIGURES`: (K,), 0 to 1, mean over the trainings; NaN for a class without
            any case.
        confusion: (K, K), share of each true class (row) that is taken for each class; ``None`` if it is not stored
            (several labels per image, boxes, or more than 30 classes).
        trainings: Number of trainings.
    """

    names: tuple[str, ...]
    figures: dict[str, NDArray[np.float64]]
    confusion: NDArray[np.float64] | None
    trainings: int


def class_figures(records: Sequence[Record], architecture: str, names: Sequence[str]) -> ClassFigures | None:
    """The figures of one network; ``None`` if its trainings stored none (more than 200 classes, an older run).

    Args:
        records: All trials of the study.
        architecture: The network's hash.
        names: Names of the classes; their numbers if the study has none.
    """
    complete = [record.rungs[-1] for record in records if record.hash == architecture and record.outcome == "complete"
                and record.rungs]  # fmt: skip
    per_training = [rung.figures for rung in complete if {"recall", "ap"} & rung.figures.keys()]
    if not per_training:
        return None
    kept = [name for name in FIGURES if all(name in figures for figures in per_training)]
    means = {name: np.mean(np.array([figures[name] for figures in per_training], dtype=float), axis=0) for name in kept}
    count = len(means[kept[0]])
    shares = None
    if all("confusion" in figures for figures in per_training):
        total = np.sum([figures["confusion"] for figures in per_training], axis=0)
        shares = total / np.maximum(total.sum(1, keepdims=True), 1)
    return ClassFigures(
        names=tuple(names) if len(names) == count else tuple(map(str, range(count))),
        figures=means, confusion=shares, trainings=len(per_training),
    )  # fmt: skip


def class_heads(per_class: ClassFigures) -> list[tuple[str, str]]:
    """Heading and meaning of every column behind the name."""
    last = [("most often taken for", "")] if per_class.confusion is not None else []
    return [FIGURES[name] for name in per_class.figures] + last


def class_rows(per_class: ClassFigures) -> list[tuple[str, list[float], list[str]]]:
    """For every class its name, its figures in percent and, if known, the class it is most often taken for."""
    return [
        (name, [100 * float(values[index]) for values in per_class.figures.values()],
         [_taken_for(per_class, index)] if per_class.confusion is not None else [])
        for index, name in enumerate(per_class.names)
    ]  # fmt: skip


def class_table(per_class: ClassFigures | None) -> ReportTable:
    """The table of figures per class."""
    if per_class is None:
        return ReportTable([Column("class")], [])
    columns = [Column("class"), *(Column(*FIGURES[name], number=True) for name in per_class.figures)]
    if per_class.confusion is not None:
        columns.append(Column("most often taken for", wide=True))
    rows = [
        [Cell(name, name), *(number(one, words.accuracy(one)) for one in values), *(Cell(one, one) for one in other)]
        for name, values, other in class_rows(per_class)
    ]
    return ReportTable(columns, [("", row) for row in rows])


def confusion(per_class: ClassFigures) -> Figure:
    """Heat map: true classes down, answers across, share of each true class."""
    assert per_class.confusion is not None
    percent = (100 * per_class.confusion).round(1)
    legible = len(per_class.names) <= 12
    return {
        "data": [
            {
                "type": "heatmap",
                "x": list(per_class.names),
                "y": list(per_class.names),
                "z": percent.tolist(),
                **({"text": [[f"{share:.0f}" for share in row] for row in percent], "texttemplate": "%{text}"}
                   if legible else {}),
                "hovertemplate": "%{z:.1f} % of %{y} are taken for %{x}<extra></extra>",
                "zmin": 0,
                "zmax": 100,
                "colorscale": [[0, "@middle"], [1, "@high"]],
                "xgap": 1,
                "ygap": 1,
                "colorbar": {"title": {"text": "% of the true class", "side": "right"}, "thickness": 10,
                             "outlinewidth": 0},
            }
        ],
        "layout": layout(
            height=170 + (30 if legible else 18) * len(per_class.names),
            xaxis={"side": "top", "showgrid": False, "type": "category", "title": {"text": "taken for"}},
            yaxis={"autorange": "reversed", "showgrid": False, "type": "category", "title": {"text": "true class"}},
            margin={"l": 20, "r": 8, "t": 60, "b": 12},
        ),
    }  # fmt: skip


def _taken_for(per_class: ClassFigures, index: int) -> str:
    if per_class.confusion is None:
        return ""
    others = per_class.confusion[index].copy()
    others[index] = 0
    most = int(others.argmax())
    return f"{per_class.names[most]} ({100 * others[most]:.0f} %)" if others[most] else ""
