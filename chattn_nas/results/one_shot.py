"""Checks in every search with shared weights whether they agree with real trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import optuna

from chattn_nas.results import words
from chattn_nas.results.pooled import Observation, observations
from chattn_nas.study.prediction import Prediction, prediction_of
from chattn_nas.study.record import records

#: Real trainings that a prediction is held against: the first that ended.
FIRST = 10
#: Kendall's tau below which they do not agree: its standard deviation over that many unrelated pairs.
LEAST = math.sqrt(2 * (2 * FIRST + 5) / (9 * FIRST * (FIRST - 1)))


@dataclass(frozen=True)
class SelfCheck:
    """The agreement of a prediction with the first real trainings.

    Attributes:
        tau: Kendall's tau-b; NaN if all values of one side are equal.
        trainings: Number of trainings compared; fewer than ten decide nothing.
    """

    tau: float
    trainings: int

    @property
    def near_zero(self) -> bool:
        """Whether the prediction says nothing about this space, so that it is no longer used."""
        return self.trainings >= FIRST and not self.tau >= LEAST


def self_check(prediction: Prediction, trainings: Sequence[Observation]) -> SelfCheck:
    """Compare a prediction with the first complete trainings of networks that it knows, in the order of trials."""
    pairs = [
        (score, one.accuracy) for one in trainings if one.complete and (score := prediction.of(one.choices)) is not None
    ]
    first = pairs[:FIRST]
    if len(first) < 2:
        return SelfCheck(math.nan, len(first))
    from scipy.stats import kendalltau

    return SelfCheck(float(kendalltau(*zip(*first, strict=True)).statistic), len(first))


def trusted(prediction: Prediction | None, trainings: Sequence[Observation]) -> Prediction | None:
    """The prediction, unless real trainings have shown that it is worthless."""
    return None if prediction is None or self_check(prediction, trainings).near_zero else prediction


def in_words(study: optuna.Study) -> str:
    """The report's sentences on a study's shared weights; empty if it has none."""
    prediction = prediction_of(study)
    if prediction is None:
        return ""
    check = self_check(prediction, observations(records(study)))
    opening = (
        f"A network with shared weights was trained for {words.plural(prediction.epochs, 'epoch')} and scored on "
        f"{words.plural(prediction.scored, 'network')} ({words.duration(prediction.seconds)}). "
    )
    if check.trainings < FIRST:
        return opening + (
            f"Whether it agrees with real trainings is asked once {FIRST} have ended: {check.trainings} so far."
        )
    tau = f"Kendall's tau with the first {FIRST} real trainings is {words.signed(check.tau)}"
    if check.near_zero:
        return opening + f"{tau}: near zero or below, so it is no longer used."
    return opening + f"{tau}: it helps to choose what is trained next, and decides nothing."
