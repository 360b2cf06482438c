"""The evidence behind proposals: trainings that ended or are running, and refused networks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import optuna
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from chattn_nas.proxy import Outcome
from chattn_nas.results.pooled import Choices, Observation, choices_of_stages, observations
from chattn_nas.space import Architecture, SearchSpace
from chattn_nas.study import _optuna
from chattn_nas.study.attributes import trial_attributes
from chattn_nas.study.history import history
from chattn_nas.study.record import Record, record_of, wording_of
from chattn_nas.study.trials import FAILURES

#: System attribute of a trial: the parameters that the sampler chose for it.
CHOSEN = "chattn:chosen"


@dataclass
class Evidence:
    """A study as it is now.

    Attributes:
        seen: Trainings that ended, in the order of their trials.
        pending: Networks that wait or are being trained, with their seed if it is known.
        taken: Number of trainings of every network, ended or under way.
        refused: Networks that broke a constraint or failed; they are not proposed again.
        latencies: Relative latency of the networks for which it was measured.
    """

    seen: list[Observation] = field(default_factory=list)
    pending: list[tuple[Choices, int | None]] = field(default_factory=list)
    taken: Counter[Choices] = field(default_factory=Counter)
    refused: set[Choices] = field(default_factory=set)
    latencies: dict[Choices, float] = field(default_factory=dict)


class Reader:
    """Reads studies of a space; ended trials are read once.

    Args:
        space: The space of the search.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._records: dict[int, Record] = {}

    def read(self, study: optuna.Study, except_for: int) -> Evidence:
        """Read all evidence except that of trial ``except_for``, which is about to be proposed."""
        known, evidence, ended = history(study), Evidence(), self.ended(study)
        evidence.seen = observations(ended)
        for record in ended:
            if not record.stages or not record.trained:
                continue
            choices = record.key
            if record.outcome == Outcome.INFEASIBLE or record.outcome in FAILURES:
                evidence.refused.add(choices)
            else:
                evidence.taken[choices] += 1
            if "latency" in record.relative:
                evidence.latencies[choices] = record.relative["latency"]
        for trial in known.open.values():
            network = None if trial.number == except_for else self._proposed(trial)
            if network is not None:
                evidence.pending.append((network, trial_attributes(trial).seed))
                evidence.taken[network] += 1
        evidence.refused -= {one.choices for one in evidence.seen}
        return evidence

    def ended(self, study: optuna.Study) -> list[Record]:
        """The ended trials, in the order of their numbers."""
        if new := history(study).finished[len(self._records) :]:
            wording = wording_of(study)  # asks the storage
            self._records |= {trial.number: record_of(trial, wording) for trial in new}
        return [self._records[number] for number in sorted(self._records)]

    def _proposed(self, trial: FrozenTrial) -> Choices | None:
        """The network of an open trial; ``None`` while it has none."""
        stored = trial_attributes(trial)
        given = stored.architecture or stored.given
        if given:
            return choices_of_stages(Architecture.from_dict(given).canonical(self.space.stages).to_dict()["stages"])
        params = trial.system_attrs.get(CHOSEN) or trial.system_attrs.get(_optuna.FIXED)
        if params is None or trial.state not in (TrialState.RUNNING, TrialState.WAITING):
            return None
        try:
            proposed = self.space.sample(FixedTrial(params))
        except ValueError:  # another space's
            return None
        return choices_of_stages(proposed.canonical(self.space.stages).to_dict()["stages"])
