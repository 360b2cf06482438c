"""The sampler ``pooled``: proposes by the model that also decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from chattn_nas.network.constraints import Constraint
from chattn_nas.results.one_shot import trusted
from chattn_nas.results.pooled import Observation, Pooled, fitted, thinned
from chattn_nas.search.pooled.acquisition import DRAWS, RULE, RULES, scalarised
from chattn_nas.search.pooled.candidates import drawn_candidates
from chattn_nas.search.pooled.design import least_used, most_balanced
from chattn_nas.search.pooled.evidence import CHOSEN, Evidence, Reader
from chattn_nas.search.pooled.networks import DRAWN, TIMES, Costs, Networks
from chattn_nas.search.whole_network import WholeNetworkSampler
from chattn_nas.space import Architecture, SearchSpace
from chattn_nas.study import _optuna
from chattn_nas.study.attributes import study_attributes, trial_attributes
from chattn_nas.study.prediction import Prediction, prediction_of

#: Trainings that the model looks at when it proposes, baselines and leaders first; a verdict looks at all. Standard
#: deviations are learned from the first as many at most: later ones are left by their promise, so they differ by less.
LOOKED_AT = 400
#: Until then they are learned again whenever the number of trainings has grown by this factor.
ANEW = 1.25


class PooledSampler(WholeNetworkSampler):
    """Proposes what the pooled model would train next.

    The first trials are a balanced design. After that the model of :mod:`chattn_nas.results.pooled` is fitted to all
    ended trainings, including stopped ones; those under way count with their expected result. A network that was
    trained before may be the best one to train again, on its next seed.

    If shared weights were trained (``search.one_shot``), their prediction breaks the ties of the design and is one
    feature of the model, as long as it agrees with the first real trainings.

    A proposal follows from the seed, the trial's number and the study: a search that continues after an interruption
    proposes what it would have proposed without one.

    Args:
        space: The space to propose from.
        seed: Seed of the search.
        most: Maximal number of trainings of one network.
        objectives: As in the spec; costs beside the accuracy are known before training.
        bounds: Constraints on costs.
        rule: One of :data:`.acquisition.RULES`.
        begin: Number of trials of the design, as a multiple of the number of types.
        holds: Tells which networks can be trained at all, if that is known.
    """

    def __init__(
        self, space: SearchSpace, seed: int, *, most: int, objectives: tuple[str, ...] = ("accuracy",),
        bounds: Mapping[str, Constraint] | None = None, rule: str = RULE, begin: float = 2.0,
        holds: Callable[[Architecture], bool] | None = None,
    ) -> None:  # fmt: skip
        self.networks, self.seed, self.most = Networks(space), seed, most
        self.objectives, self.bounds, self.rule = objectives, dict(bounds or {}), RULES[rule]
        self.begin = min(round(begin * self.networks.most_types), space.canonical_size)
        self._reader = Reader(space)
        self._fit: tuple[int, bool, Pooled | None] = (0, False, None)
        self._prediction: Prediction | None = None
        listed = self.networks.listed
        self._held = None
        if holds is not None and listed is not None:
            self._held = listed[[holds(self.networks.architecture(row)) for row in listed]]

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Choose the network of this trial, unless it has one."""
        given = trial_attributes(trial).given is not None
        if CHOSEN in trial.system_attrs or _optuna.is_queued(trial) or given:
            return
        row = self.propose(study, trial.number)
        _optuna.set_system(study, _optuna.id_of(trial), CHOSEN, self.networks.params(row))

    def proposal(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """The network that was chosen before the trial."""
        chosen: dict[str, Any] = _optuna.trial_now(study, trial).system_attrs[CHOSEN]
        return chosen

    def propose(self, study: optuna.Study, number: int) -> np.ndarray:
        """Return the network for trial ``number``, as an index per stage."""
        rng = np.random.default_rng([self.seed, number])
        known = self._reader.read(study, number)
        costs = self._costs(study, known)
        tried = [row for choices in known.taken if (row := self.networks.row(choices)) is not None]
        counts = {row: known.taken[self.networks.choices(np.array(row))] for row in tried}
        closed = {row for row, count in counts.items() if count >= self.most}
        closed |= {row for choices in known.refused if (row := self.networks.row(choices)) is not None}
        feasible = self._feasible(costs)
        self._prediction = self._prediction or prediction_of(study)
        foretells = trusted(self._prediction, known.seen)
        model = self._model(known, foretells) if len(tried) >= self.begin else None
        taken = np.array(tried, dtype=int).reshape(len(tried), len(self.networks.sizes))
        every = self._held if self._held is not None else self.networks.listed
        if every is not None:
            rows = every[feasible(every)]
        elif model is None or not len(taken):
            rows = self._somewhere(taken, feasible, rng)
        else:
            rows = drawn_candidates(
                model, self.networks, taken[feasible(taken)] if feasible(taken).any() else taken, feasible, rng
            )
        free = np.array([tuple(row) not in closed for row in rows.tolist()], dtype=bool)
        if not free.any():  # every network was trained on all its seeds: the record answers
            return np.asarray(rows[rng.integers(len(rows))]) if len(rows) else self.networks.drawn(1, rng)[0]
        rows = rows[free]
        if model is None:
            fresh = np.array([tuple(row) not in counts for row in rows.tolist()], dtype=bool)
            rows = rows[fresh] if fresh.any() else rows
            liked = None
            if foretells is not None:
                liked = np.array([foretells.standardised(self.networks.choices(row)) for row in rows])
            return np.asarray(rows[most_balanced(rows, taken, self.networks.types, rng, liked)])
        draws = model.draws([self.networks.choices(row) for row in rows], DRAWS, rng)
        others = [costs.of(name, rows) for name in self.objectives if name != "accuracy"]
        if others:
            draws = scalarised(draws, others, rng)
        noise = float(np.hypot(model.deviations["noise"], model.deviations["type_seed"]))
        return np.asarray(rows[self.rule(draws, 0.0 if others else noise, rng)])

    def _model(self, known: Evidence, foretells: Prediction | None) -> Pooled | None:
        """Fit the model to the trainings that had ended at the last milestone, then add the later ones."""
        learned = milestone(len(known.seen))
        if self._fit[:2] != (learned, foretells is not None):
            foretold = None if foretells is None else foretells.standardised
            self._fit = learned, foretells is not None, fitted(known.seen[:learned], foretold)
        model = self._fit[2]
        if model is None or (len(known.seen) == learned and not known.pending):
            return model
        seen = thinned(known.seen, LOOKED_AT)
        if known.pending:
            expected = model.predict([choices for choices, _ in known.pending]).mean
            seen = seen + [
                Observation(choices, self.seed if seed is None else seed, float(mean))
                for (choices, seed), mean in zip(known.pending, expected, strict=True)
            ]
        return model.of(seen)

    def _costs(self, study: optuna.Study, known: Evidence) -> Costs:
        rows = ((self.networks.row(choices), value) for choices, value in known.latencies.items())
        measured = {row: value for row, value in rows if row is not None}
        return Costs(self.networks, study_attributes(study).reference or {}, measured)

    def _feasible(self, costs: Costs) -> Callable[[np.ndarray], np.ndarray]:
        return lambda rows: costs.feasible(self.bounds, rows)

    def _somewhere(
        self, taken: np.ndarray, feasible: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator
    ) -> np.ndarray:
        """Feasible networks of a space that cannot be listed, before there is a model."""
        for _ in range(TIMES):
            rows = np.concatenate(
                [least_used(DRAWN // 2, taken, self.networks.types, rng), self.networks.drawn(DRAWN // 2, rng)]
            )
            kept = rows[feasible(rows)]
            if len(kept):
                return np.asarray(kept)
        return self.networks.drawn(DRAWN, rng)


def milestone(count: int) -> int:
    """The last number of trainings, up to ``count``, at which standard deviations are learned again."""
    at = 4
    while (later := max(at + 1, int(at * ANEW))) <= min(count, LOOKED_AT):
        at = later
    return at
