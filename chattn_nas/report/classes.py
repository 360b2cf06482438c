"""How a network does on every class: recall, precision, and which classes it takes for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chattn_nas.report.cells import Cell, Column, ReportTable, number
from chattn_nas.report.figures import Figure, layout
from chattn_nas.results import words
from chattn_nas.study.record import Record


@dataclass(frozen=True)
class ClassFigures:
    """Over the complete trainings of one network, at their last rung, on the validation images.

    Attributes:
        names: Of the K classes.
        recall, precision: (K,), 0 to 1, mean over the trainings.
        confusion: (K, K), share of each true class (row) that is taken for each class; ``None`` where it is not kept
            (several labels per image, or more than 30 classes).
        trainings: How many these are.
        iou: (K,), intersection over union, of masks; NaN where nothing was of the class.
    """

    names: tuple[str, ...]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    confusion: NDArray[np.float64] | None
    trainings: int
    iou: NDArray[np.float64] | None = None


def class_figures(records: Sequence[Record], architecture: str, names: Sequence[str]) -> ClassFigures | None:
    """The figures of one network; ``None`` where its trainings kept none (more than 200 classes, an older run).

    Args:
        records: All trials of the study.
        architecture: Its hash.
        names: Of the classes; their numbers where the study has none.
    """
    complete = [record.rungs[-1] for record in records if record.hash == architecture and record.outcome == "complete"
                and record.rungs]  # fmt: skip
    found = [rung.figures for rung in complete if {"recall", "precision"} <= rung.figures.keys()]
    if not found:
        return None
    count = len(found[0]["recall"])
    shares = None
    if all("confusion" in one for one in found):
        total = np.sum([one["confusion"] for one in found], axis=0)
        shares = total / np.maximum(total.sum(1, keepdims=True), 1)
    return ClassFigures(
        names=tuple(names) if len(names) == count else tuple(map(str, range(count))),
        recall=np.mean([one["recall"] for one in found], axis=0),
        precision=np.mean([one["precision"] for one in found], axis=0),
        confusion=shares,
        trainings=len(found),
        iou=np.mean(np.array([one["iou"] for one in found], dtype=float), axis=0) if "iou" in found[0] else None,
    )


def class_rows(found: ClassFigures) -> list[tuple[str, float, float, str]]:
    """Per class its name, recall and precision in percent, and what it is most often taken for."""
    return [
        (name, 100 * float(recall), 100 * float(precision), _taken_for(found, index))
        for index, (name, recall, precision) in enumerate(zip(found.names, found.recall, found.precision, strict=True))
    ]


def class_table(found: ClassFigures | None) -> ReportTable:
    """Recall and precision per class."""
    columns = [
        Column("class"),
        Column("recall %", "share of the images of this class that are found", number=True),
        Column("precision %", "share of the images said to be of this class that are", number=True),
        Column("most often taken for", wide=True),
    ]
    iou = None if found is None else found.iou
    if iou is not None:
        columns.insert(3, Column("IoU %", "pixels in common over pixels of either", number=True))
    rows = []
    for index, (name, recall, precision, other) in enumerate(class_rows(found) if found else ()):
        common = [] if iou is None else [100 * float(iou[index])]
        figures = [number(value, words.accuracy(value)) for value in (recall, precision, *common)]
        rows.append(("", [Cell(name, name), *figures, Cell(other, other)]))
    return ReportTable(columns, rows)


def confusion(found: ClassFigures) -> Figure:
    """Heat map: true classes down, answers across, share of each true class."""
    assert found.confusion is not None
    percent = (100 * found.confusion).round(1)
    legible = len(found.names) <= 12
    return {
        "data": [
            {
                "type": "heatmap",
                "x": list(found.names),
                "y": list(found.names),
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
            height=170 + (30 if legible else 18) * len(found.names),
            xaxis={"side": "top", "showgrid": False, "type": "category", "title": {"text": "taken for"}},
            yaxis={"autorange": "reversed", "showgrid": False, "type": "category", "title": {"text": "true class"}},
            margin={"l": 20, "r": 8, "t": 60, "b": 12},
        ),
    }  # fmt: skip


def _taken_for(found: ClassFigures, index: int) -> str:
    if found.confusion is None:
        return ""
    others = found.confusion[index].copy()
    others[index] = 0
    most = int(others.argmax())
    return f"{found.names[most]} ({100 * others[most]:.0f} %)" if others[most] else ""
