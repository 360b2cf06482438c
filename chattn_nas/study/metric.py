"""What the score of a study is called: sentences are written about accuracy, and another metric takes its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import optuna

from chattn_nas.study.attributes import study_attributes

#: Attributes of a study: the metric's name, and the score of always answering the commonest class.
METRIC, FLOOR = "metric", "floor"
NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "top5": "top-5 accuracy",
    "auroc": "AUROC",
    "average_precision": "mean average precision",
    "log_loss": "exp(-log loss)",
}


def metric_of(study: optuna.Study) -> str:
    """As it is written in sentences; ``accuracy`` where the study names none."""
    name = study_attributes(study).metric
    return NAMES.get(name, name)


def named(text: str, metric: str, keep: Sequence[str] = ()) -> str:
    """A text about accuracy as one about the metric.

    Args:
        text: Of a report.
        metric: From :func:`metric_of`.
        keep: Parts of the text that stay as they are, such as the spec.
    """
    if metric == "accuracy":
        return text
    for index, part in enumerate(keep):
        text = text.replace(part, f"\0{index}\0")
    text = re.sub(r"\baccuracy\b", lambda _: metric, text)
    text = re.sub(r"\bAccuracy\b", lambda _: metric[0].upper() + metric[1:], text)
    for index, part in enumerate(keep):
        text = text.replace(f"\0{index}\0", part)
    return text


def floor_of(study: optuna.Study) -> dict[str, Any] | None:
    """Class and score (0 to 1) of always answering the commonest class, where that is known."""
    found = study_attributes(study).floor
    return None if found is None else dict(found)
