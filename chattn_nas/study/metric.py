"""What the score of a study is called: sentences are written about accuracy, and another metric takes its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import optuna

from chattn_nas.study.attributes import study_attributes
from chattn_nas.unit import Unit, percent

#: Attributes of a study: the metric's name, the score of having learnt nothing, and what scores are told in.
METRIC, FLOOR, UNIT = "metric", "floor", "unit"
NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "top5": "top-5 accuracy",
    "auroc": "AUROC",
    "average_precision": "mean average precision",
    "log_loss": "exp(-log loss)",
}


def unit_of(study: optuna.Study) -> Unit:
    """What scores of a study are told in; of a study from before there were tasks: percent."""
    known = study_attributes(study)
    return Unit.from_dict(known.unit) if known.unit else percent(known.metric, NAMES.get(known.metric))


def metric_of(study: optuna.Study) -> str:
    """As it is written in sentences; ``accuracy`` where the study names none."""
    return unit_of(study).title


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
    """``score`` of having learnt nothing and ``by``, what answers so; ``None`` where that is not known."""
    found = study_attributes(study).floor
    return None if found is None else {"by": f"always answering {found.get('class')!r}", **found}
