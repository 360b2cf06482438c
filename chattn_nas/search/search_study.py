"""What a sampler is shown of a study: only trials of the space, every network with the mean of its trainings."""

from __future__ import annotations

import copy
from collections.abc import Container, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from chattn_nas.study import _optuna
from chattn_nas.study.attributes import TrialAttributes
from chattn_nas.study.history import History, history

#: User attribute of a trial whose architecture was given and is not in the space (``none`` and the control may be so).
GIVEN = "given"
#: Of more trials than these together, samplers see the last so many, and the trainings of the best architectures: TPE
#: asks what the best 25 have that the others lack, and a proposal shall not take longer and longer.
LAST, BEST = 2000, 25


class SearchStudy(_optuna.ViewedStudy):
    """A study as its samplers and pruners shall see it.

    Trials from outside the space are left out: such a trial has no parameters, and samplers that model parameters
    jointly take those that all trials have in common. A network that was trained on several seeds has their mean in
    every one of its trials: else the first one's luck would lead the sampler for ever. For a sampler that cannot do
    conditions every trial has every parameter, those that its types do not have at their first value.
    """

    def __init__(
        self, study_name: str, storage: Any, sampler: BaseSampler | None = None, pruner: Any = None,
        filled: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(study_name, storage, sampler, pruner)
        self._filled: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(tuple(values)) for name, values in (filled or {}).items()
        }
        self._shown: tuple[int, list[FrozenTrial]] = (0, [])

    def view(self, states: Container[TrialState] | None, *, deepcopy: bool, use_cache: bool) -> list[FrozenTrial]:
        """Trials of the space, the last and the best of them, each network with its mean."""
        known = history(self)
        open_ones = [self._whole(trial) for trial in known.open.values() if known.attributes(trial).given is None]
        trials = [trial for trial in (*self._ended(known), *open_ones) if states is None or trial.state in states]
        trials.sort(key=lambda trial: trial.number)
        return copy.deepcopy(trials) if deepcopy else trials

    def _ended(self, known: History) -> list[FrozenTrial]:
        """Those that have ended: a sampler looks once for every parameter, and they change when a trial ends."""
        count, shown = self._shown
        if count != len(known.finished):
            count, trials = len(known.finished), known.finished
            if count > LAST + BEST:
                few = {trial.number: trial for trial in (*trials[-LAST:], *known.best_trials(BEST))}
                trials = list(few.values())
            shown = [self._whole(trial) for trial in _averaged(trials, known)]
            self._shown = count, shown
        return shown

    def _whole(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial with every parameter, where it has any and they are asked for."""
        if not self._filled or not trial.params or len(trial.params) == len(self._filled):
            return trial
        first = {name: one.choices[0] for name, one in self._filled.items() if isinstance(one, CategoricalDistribution)}
        return _optuna.with_parameters(trial, first, self._filled)


def _averaged(trials: Sequence[FrozenTrial], known: History) -> list[FrozenTrial]:
    """The trials of the space; their values are the means over all complete trials of their network."""
    stored = {trial.number: known.attributes(trial) for trial in trials}
    trials = [trial for trial in trials if stored[trial.number].given is None]
    values: dict[str, list[Sequence[float]]] = {}
    for trial in trials:
        mine = stored[trial.number]
        if trial.state is TrialState.COMPLETE and mine.trained and mine.hash is not None:
            values.setdefault(mine.hash, []).append(_own(trial, mine))
    means = {key: [fmean(column) for column in zip(*rows, strict=True)] for key, rows in values.items()}
    shown = []
    for trial in trials:
        mean = means.get(stored[trial.number].hash or "")
        if mean is not None and trial.state is TrialState.COMPLETE and trial.values != mean:
            trial = copy.copy(trial)
            trial.values = mean
        shown.append(trial)
    return shown


def _own(trial: FrozenTrial, stored: TrialAttributes) -> Sequence[float]:
    """What the trial itself measured: it was told the mean of its network so far."""
    if stored.measurement is not None and stored.measurement.rungs and len(trial.values) == 1:
        return [stored.measurement.rungs[-1].score]
    return trial.values


class SeededByTrial(BaseSampler):
    """A sampler that draws for every trial from random numbers of its own.

    They follow from the search's seed and the trial's number, whichever worker runs it: no two workers draw the same,
    and what a trial proposes hangs on nothing but what the sampler saw before it.

    Args:
        inner: Proposes.
        seed: Of the search.
    """

    def __init__(self, inner: BaseSampler, seed: int) -> None:
        self.inner, self.seed = inner, seed

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Seed all random states of the sampler."""
        drawn = np.random.SeedSequence([self.seed, trial.number])
        states = _optuna.random_states(self.inner)
        _optuna.reseed(states, [int(words.generate_state(1)[0]) for words in drawn.spawn(len(states))])
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The inner sampler's."""
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The inner sampler's."""
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The inner sampler's."""
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """The inner sampler's."""
        self.inner.after_trial(study, trial, state, values)
