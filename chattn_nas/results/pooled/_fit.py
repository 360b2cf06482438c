"""Fits the pooled model to the records of a study: chooses the views, and thins out a large study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chattn_nas.results.pooled.design import Choices, Foretold
from chattn_nas.results.pooled.model import Pooled
from chattn_nas.results.pooled.observation import RUNG, Observation, observations
from chattn_nas.study.record import Record

#: Beyond this many observations a fit of many columns takes more than ten seconds.
LIMIT = 2000
#: So many of the best means stay in any case: a verdict may name them.
LEADERS = 20
#: Complete trainings below which nothing shows what a loss is worth, and beyond which accuracy alone says enough.
LEAST_FOR_LOSSES, MOST_FOR_LOSSES = 10, 400


def fit(records: Sequence[Record]) -> Pooled | None:
    """The pooled model of a study; ``None`` with fewer than four complete observations, or where nothing differs."""
    return fitted(observations(records))


def fitted(trainings: Sequence[Observation], foretold: Foretold | None = None) -> Pooled | None:
    """Fit the pooled model to observations.

    Rungs are always used, since they say why a training was stopped. Losses are used if the study shows their worth: if
    they improve the model's prediction of a training's accuracy from all others.
    """
    ends = [one.accuracy for one in trainings if one.complete]
    if len(ends) < 4 or np.ptp(ends) == 0:
        return None
    kept = thinned(trainings, LIMIT)
    names = list(dict.fromkeys(name for one in kept for name in one.views))
    rungs = [name for name in names if name.startswith(RUNG)]
    plain = Pooled(kept, rungs, foretold=foretold)
    if not LEAST_FOR_LOSSES <= len(ends) <= MOST_FOR_LOSSES or len(names) == len(rungs):
        return plain
    with_losses = Pooled(kept, names, foretold=foretold)
    gained = with_losses.held_out - plain.held_out
    gained = gained[np.isfinite(gained)]
    shown = gained.sum() > gained.std(ddof=1) * len(gained) ** 0.5
    return with_losses if shown else plain


def thinned(trainings: Sequence[Observation], limit: int) -> list[Observation]:
    """Thin observations to ``limit``, in their order: stopped ones go first, then the least promising networks.

    Baselines and the few networks with the highest means stay. How promising a network is follows from the means of its
    types, not from its own accuracies: leaving out the unlucky would make the others look better than they are.
    """
    over = len(trainings) - limit
    if over <= 0:
        return list(trainings)
    center = float(np.nanmean([one.accuracy for one in trainings]))
    sums: dict[tuple[int, str], list[float]] = {}
    for one in trainings:
        if one.complete:
            for stage, (name, _) in enumerate(one.choices):
                sums.setdefault((stage, name), []).append(one.accuracy - center)
    effect = {key: float(np.mean(values)) for key, values in sums.items()}

    def hope(training: Observation) -> float:
        return sum(effect.get((stage, name), 0.0) for stage, (name, _) in enumerate(training.choices))

    own: dict[Choices, list[float]] = {}
    for one in trainings:
        if one.complete:
            own.setdefault(one.choices, []).append(one.accuracy)
    leaders = set(sorted(own, key=lambda choices: -float(np.mean(own[choices])))[:LEADERS])
    kept = [one.keep or (one.complete and one.choices in leaders) for one in trainings]
    order = sorted(
        (place for place, keep in enumerate(kept) if not keep),
        key=lambda p: (trainings[p].complete, hope(trainings[p])),
    )
    gone = set(order[:over])
    return [one for place, one in enumerate(trainings) if place not in gone]
