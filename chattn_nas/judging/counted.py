"""The score that a training contributes to a judgement; trainings that diverged are not left out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chattn_nas import tasks
from chattn_nas.spec import Spec
from chattn_nas.study.record import Record, once_per_seed


def counted(records: Sequence[Record], chance: float) -> dict[tuple[str, int], float]:
    """Return the score of every training that was completed or diverged, as shown, by hash and seed.

    A training that diverged counts with its last score, or with ``chance`` if that is NaN: without it, a network would
    be ranked by its lucky seeds. Running out of memory or crashing says nothing about the network.

    Args:
        records: Records of a study.
        chance: From :func:`chance_of`.
    """
    scores: dict[tuple[str, int], float] = {}
    for record in records:
        if record.seed is not None and record.outcome == "diverged":
            value = record.unit.shown(record.rungs[-1].score) if record.rungs else chance
            scores[record.hash, record.seed] = value if math.isfinite(value) else chance
    for record in once_per_seed(records):
        if record.seed is not None and record.score is not None and math.isfinite(record.score):
            scores[record.hash, record.seed] = record.shown
    return scores


def chance_of(spec: Spec) -> float:
    """Return the score of a network that has learnt nothing, as shown."""
    data = tasks.load(spec.task, spec.data)
    if data.task.unit.name == "accuracy":
        return 100 / data.num_classes
    low = data.task.floor()
    return data.task.unit.shown(low["score"] if low else 0.0)
