"""Ranks the networks of a space by shared weights."""

from __future__ import annotations

from typing import Any

from chattn_nas.search.pooled.networks import Networks
from chattn_nas.spec.spec import Spec
from chattn_nas.study.prediction import Prediction
from chattn_nas.study.record import Wording

#: Networks of a space that are listed at most.
LISTED = 10_000


def ranking(prediction: Prediction, spec: Spec) -> list[dict[str, Any]]:
    """``hash``, ``architecture`` and ``predicted`` of every network, best first; in a huge space only the best."""
    space = spec.search_space()
    networks, wording, rows = Networks(space), Wording.of_space(space), []
    for places, score in best(prediction, networks, LISTED):
        architecture = networks.architecture(places)
        name = " | ".join(wording.choices(choice.to_dict() for choice in architecture.stages))
        rows.append({"hash": architecture.hash, "architecture": name, "predicted": round(score, 6)})
    return rows


def best(prediction: Prediction, networks: Networks, most: int) -> list[tuple[tuple[int, ...], float]]:
    """The best networks of a space, one place per stage, and their scores, best first.

    Since the score is a sum over stages, they are found stage by stage, without listing the space.
    """
    ranked: list[tuple[tuple[int, ...], float]] = [((), prediction.mean)]
    for keys, effects in zip(networks.keys, prediction.effects, strict=True):
        longer = [((*row, place), score + effects[key]) for row, score in ranked for place, (_, key) in enumerate(keys)]
        ranked = sorted(longer, key=lambda one: (-one[1], one[0]))[:most]
    return ranked
