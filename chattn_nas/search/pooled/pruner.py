"""The pruner ``pooled``: stops a training once its network can hardly become the pick."""

from __future__ import annotations

import numpy as np
import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from chattn_nas.results.pooled import Observation, Pooled, choices_of, choices_of_stages, thinned
from chattn_nas.results.pooled.observation import MINIMAL_PAIRS, RUNG
from chattn_nas.search.pooled.evidence import Reader
from chattn_nas.search.pooled.sampler import LOOKED_AT, milestone
from chattn_nas.space import SearchSpace
from chattn_nas.study.attributes import trial_attributes
from chattn_nas.study.metric import unit_of
from chattn_nas.study.record import Record, once_per_seed

#: A training goes on while the chance that its network is the best one known is at least this.
CHANCE = 0.05
DRAWS = 400


class PooledPruner(BasePruner):
    """Stops a training once its network is the best known one with a probability below :data:`CHANCE`.

    As in the pooled model, every rung is a further view of a training.

    Successive halving considers the ranks at one rung only; this weighs how much a rung says, what other networks say
    about this one's types, and how close the best ones are. Nothing is stopped before five trainings have ended.

    Args:
        space: The space of the search.
        seed: Seed of the search.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self.seed = seed
        self._reader = Reader(space)
        self._fits: dict[int, tuple[int, Pooled]] = {}

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether the trial should stop at the rung that it last reported."""
        stored = trial_attributes(trial)
        if not trial.intermediate_values or stored.architecture is None:
            return False
        seen, complete = _views(once_per_seed(self._reader.ended(study)), set(trial.intermediate_values))
        if complete < MINIMAL_PAIRS:
            return False
        unit = unit_of(study)
        views = {f"{RUNG}{epoch}": unit.shown(value) for epoch, value in trial.intermediate_values.items()}
        mine = choices_of_stages(stored.stages)
        running = Observation(mine, stored.seed, float("nan"), views=views)
        model = self._model(max(trial.intermediate_values), seen, list(views)).of([*thinned(seen, LOOKED_AT), running])
        rivals = [one for one in dict.fromkeys(one.choices for one in seen if one.complete) if one != mine]
        if not rivals:
            return False
        rng = np.random.default_rng([self.seed, trial.number, len(views)])
        draws = model.draws([mine, *rivals], DRAWS, rng)
        return bool((draws[:, 0] >= draws[:, 1:].max(1)).mean() < CHANCE)

    def _model(self, rung: int, seen: list[Observation], views: list[str]) -> Pooled:
        """The model of the trainings that had ended at the last milestone."""
        known = milestone(len(seen))
        if self._fits.get(rung, (0,))[0] != known:
            self._fits[rung] = known, Pooled(seen[: max(known, MINIMAL_PAIRS)], views)
        return self._fits[rung][1]


def _views(records: list[Record], epochs: set[int]) -> tuple[list[Observation], int]:
    """Trainings with their rungs at these epochs, and the number of complete ones."""
    length = max((len(record.rungs) for record in records if record.outcome == "complete"), default=0)
    seen, complete = [], 0
    for record in records:
        whole = record.outcome == "complete" and len(record.rungs) == length
        views = {f"{RUNG}{rung.epoch}": record.unit.shown(rung.score) for rung in record.rungs if rung.epoch in epochs}
        if whole or views:
            end = record.unit.shown(record.rungs[-1].score) if whole else float("nan")
            seen.append(Observation(choices_of(record), record.seed, end, views=views, keep=bool(record.label)))
        complete += whole
    first = [one for one in seen if one.complete][:MINIMAL_PAIRS]
    return [*first, *(one for one in seen if one not in first)], complete
