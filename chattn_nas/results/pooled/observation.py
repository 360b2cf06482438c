"""Observations of the pooled model: one per training, with all of its readings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chattn_nas.results.pooled.design import Choices
from chattn_nas.study.record import Record, key_of, once_per_seed

#: Fewer trainings that have both a view and the accuracy at the end say too little of what the view means.
MINIMAL_PAIRS = 5
#: How the name of a rung's view begins.
RUNG = "epoch "


@dataclass(frozen=True)
class Observation:
    """One trained network.

    Attributes:
        choices: The type and the full choice of every stage.
        seed: Seed of the training.
        accuracy: Final accuracy, in points; NaN if the training was stopped.
        variance: Variance of the accuracy's own noise, besides the noise common to all; in squared points.
        views: Further readings of the same training by name, in any unit; more is better.
        keep: Whether it is a baseline, which is never left out.
    """

    choices: Choices
    seed: int | None
    accuracy: float
    variance: float = 0.0
    views: Mapping[str, float] = field(default_factory=dict)
    keep: bool = False

    @property
    def complete(self) -> bool:
        """Whether the training was completed."""
        return self.accuracy == self.accuracy


def rungs_of(observation: Observation) -> dict[str, float]:
    """The views that are rungs: the reason of a stopped training, the course of a complete one."""
    return {name: value for name, value in observation.views.items() if name.startswith(RUNG)}


def choices_of(record: Record) -> Choices:
    """The type and the full choice of every stage, as the model compares them."""
    return record.key


def choices_of_stages(stages: Sequence[Mapping[str, Any]]) -> Choices:
    """The choices of a network whose stages are plain mappings."""
    return tuple((str(stage["type"]), key_of(stage)) for stage in stages)


def observations(records: Sequence[Record]) -> list[Observation]:
    """The observations of a study: every training with its final accuracy, its rungs and its losses.

    A rung is a view if trainings were stopped there and enough others went on. The losses of a complete training
    (validation loss, sum of training losses) are views too.
    """
    trained = once_per_seed(records)
    length = max((len(record.rungs) for record in trained if record.outcome == "complete"), default=0)
    complete = [record for record in trained if record.outcome == "complete" and len(record.rungs) == length]
    stopped = [record for record in trained if 0 < len(record.rungs) < length]
    ends = Counter(len(record.rungs) for record in stopped)
    read = sorted(ends) if len(complete) >= MINIMAL_PAIRS else []
    seen = []
    for record in trained:
        reached = len(record.rungs)
        whole = record.outcome == "complete" and reached == length
        if not whole and reached not in read:
            continue
        views = {
            f"{RUNG}{record.rungs[rung - 1].epoch}": record.unit.shown(record.rungs[rung - 1].score)
            for rung in read if rung <= reached
        }  # fmt: skip
        if whole and record.measurement is not None:
            views |= _losses(record)
        accuracy = record.unit.shown(record.rungs[-1].score) if whole else float("nan")
        seen.append(Observation(choices_of(record), record.seed, accuracy, views=views, keep=bool(record.label)))
    return seen


def _losses(record: Record) -> dict[str, float]:
    measured = record.measurement
    assert measured is not None
    losses = {"validation loss": measured.loss, "sum of training losses": measured.train_loss_sum}
    return {name: -value for name, value in losses.items() if value is not None and math.isfinite(value)}
