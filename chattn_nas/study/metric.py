"""The name of a study's score: sentences are written about accuracy, and this puts another metric in its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import optuna

from chattn_nas.study.attributes import study_attributes
from chattn_nas.unit import ACCURACY, Unit

#: Attributes of a study: the metric's name, the score of a network that has learnt nothing, and the unit of scores.
METRIC, FLOOR, UNIT = "metric", "floor", "unit"
#: A score with its unit, or a heading of scores; a difference, but neither an attribute of SVG nor one of a script.
_SCORE = re.compile(
    r"(\d\.\d\d|\.2f\}|\b(?:pooled|mean|best|search|retrained|confirmed|trial|accuracy|so far|order)) %(?!\w)"
)
_POINTS = re.compile(r"(?<![.\w-])(?:percentage )?points\b(?![=\[\"'(])")


def unit_of(study: optuna.Study) -> Unit:
    """The unit of a study's scores."""
    return study_attributes(study).scored_in


def metric_of(study: optuna.Study) -> str:
    """The metric as written in sentences; ``accuracy`` if the study names none."""
    return unit_of(study).title


def named(text: str, unit: Unit, keep: Sequence[str] = ()) -> str:
    """Turn a text about accuracy, in percent and points, into one about the metric in its unit.

    Args:
        text: Text of a report; scores have two decimal places, so that ``95 %`` of an interval stays.
        unit: The unit, from :func:`unit_of`.
        keep: Parts of the text that stay as they are, such as the spec.
    """
    if unit == ACCURACY:
        return text
    metric = unit.title
    titled = metric if metric[1:2].isupper() else metric[0].upper() + metric[1:]  # mAP
    keep = [*keep, metric, titled]  # what has its name already: "balanced accuracy" holds the word
    for index, part in enumerate(keep):
        text = text.replace(part, f"\0{index}\0")
    text = re.sub(r"\baccuracy\b", lambda _: metric, text)
    text = re.sub(r"\bAccuracy\b", lambda _: titled, text)
    if (unit.unit, unit.difference) != (ACCURACY.unit, ACCURACY.difference):
        text = _SCORE.sub(lambda match: match[1] + (f" {unit.unit}" if unit.unit else ""), text)
        text = text.replace(" (%)", f" ({unit.unit})" if unit.unit else "")
        text = _POINTS.sub(unit.difference, text).replace("in percent", f"in {unit.unit or 'its own unit'}")
    for index, part in enumerate(keep):
        text = text.replace(f"\0{index}\0", part)
    return text


def floor_of(study: optuna.Study) -> dict[str, Any] | None:
    """The score of a network that has learnt nothing, and the answer that gives it; ``None`` if unknown."""
    floor = study_attributes(study).floor
    return None if floor is None else {"by": f"always answering {floor.get('class')!r}", **floor}
