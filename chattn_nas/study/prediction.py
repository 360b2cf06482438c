"""Predicted scores of every network of a space by shared weights, as a study stores them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import optuna

from chattn_nas.stored import Stored
from chattn_nas.study.attributes import study_attributes

#: Attribute of a study that holds it.
PREDICTION = "one_shot"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction(Stored):
    """Scores of one supernet: minus the loss that a network has with shared weights, a sum over stages.

    Attributes:
        mean: Score of the average network; more is better.
        effects: What a choice adds to it, per stage, by its canonical form as JSON; the mean is 0 in every stage.
        fitted: Share of the scored networks' variance that the sum explains.
        scored: Number of networks that were scored.
        epochs, images: Length of the supernet's training, and training images of one epoch.
        seconds: Duration of training and scoring.
        seed: Seed of weights, paths, order and augmentation.
    """

    mean: float
    effects: tuple[Mapping[str, float], ...]
    fitted: float
    scored: int
    epochs: int
    images: int
    seconds: float
    seed: int

    def of(self, choices: Sequence[tuple[str, str]]) -> float | None:
        """Score of a network, given by type and full choice per stage; ``None`` if a choice is not in the space."""
        if len(choices) != len(self.effects):
            return None
        terms = [effects.get(choice) for effects, (_, choice) in zip(self.effects, choices, strict=True)]
        known = [term for term in terms if term is not None]
        return self.mean + sum(known) if len(known) == len(terms) else None

    @property
    def spread(self) -> float:
        """Standard deviation of the scores over all networks of the space."""
        # They average 0 in every stage; statistics.pvariance is slow, and a sampler asks once per network.
        return math.sqrt(sum(fmean(one * one for one in effects.values()) for effects in self.effects))

    def standardised(self, choices: Sequence[tuple[str, str]]) -> float:
        """The score in standard deviations from the average network's; 0 if it is unknown."""
        score, spread = self.of(choices), self.spread
        return 0.0 if score is None or not spread else (score - self.mean) / spread


def prediction_of(study: optuna.Study) -> Prediction | None:
    """The prediction by a study's shared weights; ``None`` if none were trained."""
    held = study_attributes(study).one_shot
    return None if held is None else Prediction.from_dict(dict(held), "the one-shot prediction of the study")


def centred(mean: float, effects: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Shift ``mean`` and ``effects`` of a :class:`Prediction`, so that every stage's effects have the mean 0."""
    shifts = [fmean(one.values()) for one in effects]
    return {
        "mean": mean + sum(shifts),
        "effects": tuple(
            {key: value - shift for key, value in one.items()} for one, shift in zip(effects, shifts, strict=True)
        ),
    }
