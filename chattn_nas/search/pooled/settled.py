"""Tells whether more trials can change the recommendation of a search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import optuna

from chattn_nas.results.pooled import fitted, thinned
from chattn_nas.search.ending import end
from chattn_nas.search.pooled.candidates import drawn_candidates
from chattn_nas.search.pooled.evidence import Reader
from chattn_nas.search.pooled.networks import Costs, Networks
from chattn_nas.search.pooled.sampler import LOOKED_AT
from chattn_nas.space import SearchSpace
from chattn_nas.spec.search_settings import SearchSettings
from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.history import history
from chattn_nas.study.metric import unit_of
from chattn_nas.unit import ACCURACY, Unit

#: Below this chance of a better network a search ends.
CHANCE = 0.05
#: Joint draws from which the chance is read.
DRAWS = 1000


@dataclass(frozen=True)
class Outlook:
    """The gain that is still possible.

    Attributes:
        trainings: Number of trainings so far.
        chance: Probability that some network of the space beats the pick by ``useful``.
        useful: Smallest difference worth having, in the score's unit, such as points.
        unit: Unit of the scores.
    """

    trainings: int
    chance: float
    useful: float
    unit: Unit = ACCURACY

    @property
    def settled(self) -> bool:
        """Whether more trials cannot change the answer."""
        return self.chance < CHANCE

    def __str__(self) -> str:
        return (
            f"after {self.trainings} trainings the chance that a network of the space is "
            f"{self.unit.apart(self.useful)} better than the pick is {100 * self.chance:.1f} %"
        )


def outlook(
    study: optuna.Study, space: SearchSpace, settings: SearchSettings, useful: float, reader: Reader | None = None
) -> Outlook | None:
    """The chance that more trials change the answer, by the pooled model.

    ``None`` while too little is known, or with several objectives, whose answer is a whole front.

    Args:
        study: The study of the search.
        space: The space of the search.
        settings: Constraints and objectives.
        useful: Smallest difference worth having, in points.
        reader: A reader that has read the study before, which saves time.
    """
    if settings.objectives != ["accuracy"]:
        return None
    networks = Networks(space)
    known = (reader or Reader(space)).read(study, -1)
    model = fitted(thinned(known.seen, LOOKED_AT))
    complete = {row for one in known.seen if one.complete and (row := networks.row(one.choices)) is not None}
    if model is None or len(complete) < min(2 * networks.most_types, space.canonical_size):
        return None
    rng = np.random.default_rng([settings.seed, len(known.seen)])
    trained = np.array(sorted(complete))
    costs = Costs(networks, study_attributes(study).reference or {}, {})

    def feasible(rows: np.ndarray) -> np.ndarray:
        return costs.feasible(settings.bounds, rows)

    means = model.predict([networks.choices(row) for row in trained]).mean
    pick = trained[int(np.argmax(means))]
    rivals = networks.listed
    rivals = drawn_candidates(model, networks, trained, feasible, rng) if rivals is None else rivals[feasible(rivals)]
    others = [networks.choices(row) for row in rivals]
    chance = model.chance_of_better(others, networks.choices(pick), useful, draws=DRAWS, seed=rng)
    return Outlook(len(known.seen), chance, useful, unit_of(study))


class EarlyEnd:
    """Ends a search that is settled; called with the study now and then.

    Args:
        space: The space of the search.
        settings: Settings of the search.
        useful: Smallest difference worth having, in points.
    """

    def __init__(self, space: SearchSpace, settings: SearchSettings, useful: float) -> None:
        self.space, self.settings, self.useful = space, settings, useful
        self._reader, self._look_at = Reader(space), 0

    def __call__(self, study: optuna.Study) -> None:
        """Look again once a tenth more trials have ended than at the last look."""
        counted = history(study).counted
        if counted < self._look_at or counted >= self.settings.trials:
            return
        self._look_at = counted + max(1, counted // 10)
        forecast = outlook(study, self.space, self.settings, self.useful, self._reader)
        if forecast is not None and forecast.settled:
            end(study, f"more trials cannot change the answer: {forecast}")
