"""A study as samplers see it: only trials of the space, every network with the mean of its trainings."""

from __future__ import annotations

import copy
import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from chattn_nas.study import _optuna
from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.history import History, history

#: User attribute of a trial that was queued with an architecture outside the space (perhaps ``none`` or the control).
GIVEN = "given"
#: Of more trials than these together, samplers see the last so many, and the trainings of the best architectures: TPE
#: asks what the best 25 have that the others lack, and a proposal shall not take longer and longer.
LAST, BEST = 2000, 25


@dataclass(frozen=True)
class SamplerView:
    """How a sampler sees the trials.

    Attributes:
        filled: Values by parameter, if every trial must seem to have all of them: a sampler without conditions.
        stopped_as_worst: Trials that were stopped or refused seem complete, with the worst value known: a sampler that
            reads complete trials only would never learn of them, and propose the same network again and again.
    """

    filled: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    stopped_as_worst: bool = False


class SearchStudy(_optuna.ViewedStudy):
    """The view of a study that its samplers and pruners get.

    Trials from outside the space are left out: they have no parameters, and samplers that model parameters jointly use
    only those that all trials have in common. A network that was trained on several seeds has their mean in every one
    of its trials; otherwise the luck of the first would mislead the sampler for ever. For a sampler without conditional
    parameters, every trial has every parameter; those that its types lack are at their first value. For one that reads
    complete trials only, those that were stopped or refused end like the worst (:class:`SamplerView`).
    """

    def __init__(
        self, study_name: str, storage: Any, sampler: BaseSampler | None = None, pruner: Any = None,
        shown: SamplerView | None = None,
    ) -> None:  # fmt: skip
        super().__init__(study_name, storage, sampler, pruner)
        shown = shown or SamplerView()
        self._filled: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(tuple(values)) for name, values in shown.filled.items()
        }
        self._stopped_as_worst = shown.stopped_as_worst
        self._shown: tuple[int, list[FrozenTrial]] = (0, [])

    def view(self, states: Container[TrialState] | None, *, deepcopy: bool, use_cache: bool) -> list[FrozenTrial]:
        """Trials of the space, the last and the best of them, each network with its mean."""
        known = history(self)
        open_ones = [self._whole(trial) for trial in known.open.values() if known.attributes(trial).given is None]
        trials = [trial for trial in (*self._ended(known), *open_ones) if states is None or trial.state in states]
        trials.sort(key=lambda trial: trial.number)
        return copy.deepcopy(trials) if deepcopy else trials

    def _ended(self, known: History) -> list[FrozenTrial]:
        """The ended trials, cached until another ends: a sampler asks for them once per parameter."""
        count, shown = self._shown
        if count != len(known.finished):
            count, trials = len(known.finished), known.finished
            if count > LAST + BEST:
                few = {trial.number: trial for trial in (*trials[-LAST:], *known.best_trials(BEST))}
                trials = list(few.values())
            shown = [self._whole(trial) for trial in _averaged(trials, known, self._place)]
            if self._stopped_as_worst:
                shown = _with_worst(shown, self.directions)
            self._shown = count, shown
        return shown

    @cached_property
    def _place(self) -> int | None:
        """Index of the score among the values; ``None`` if only costs are objectives."""
        if len(self.directions) == 1:
            return 0
        objectives = list(study_attributes(self).objectives)
        return objectives.index("accuracy") if "accuracy" in objectives else None

    def _whole(self, trial: FrozenTrial) -> FrozenTrial:
        """The trial with every parameter, if it has any and the sampler needs them."""
        if not self._filled or not trial.params or len(trial.params) == len(self._filled):
            return trial
        first = {name: one.choices[0] for name, one in self._filled.items() if isinstance(one, CategoricalDistribution)}
        return _optuna.with_parameters(trial, first, self._filled)


def _averaged(trials: Sequence[FrozenTrial], known: History, place: int | None) -> list[FrozenTrial]:
    """The trials of the space, with the mean over all trainings of the network as the value at ``place``.

    A trial's own value is the mean of its network at that time only.
    """
    shown, means = [], dict[str, float | None]()
    for trial in trials:
        stored = known.attributes(trial)
        if stored.given is not None:
            continue
        key = stored.hash
        if place is not None and key is not None and trial.state is TrialState.COMPLETE:
            if key not in means:
                scores = known.scores(key)
                means[key] = fmean(scores.values()) if scores else None
            mean = means[key]
            if mean is not None and trial.values[place] != mean:
                trial = copy.copy(trial)
                trial.values = [*trial.values[:place], mean, *trial.values[place + 1 :]]
        shown.append(trial)
    return shown


def _with_worst(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """The trials, those that were stopped or refused as complete ones with the worst known value of every objective."""
    complete = [trial.values for trial in trials if trial.state is TrialState.COMPLETE]
    worst = [
        (min if direction is StudyDirection.MAXIMIZE else max)(values)
        for direction, values in zip(directions, zip(*complete, strict=True), strict=False)
    ]
    shown = []
    for trial in trials:
        if trial.state is TrialState.PRUNED and worst:
            trial = copy.copy(trial)
            trial.state, trial.values = TrialState.COMPLETE, worst
        shown.append(trial)
    return shown


class SeededByTrial(BaseSampler):
    """Gives every trial random numbers of its own.

    They follow from the search's seed and the trial's number, whichever worker runs it: no two workers draw the same,
    and a proposal depends only on what the sampler saw before it. If one process runs several trials at a time, as with
    Ray, each has its own random state while it draws.

    Args:
        inner: The sampler that proposes.
        seed: Seed of the search.
    """

    def __init__(self, inner: BaseSampler, seed: int) -> None:
        self.inner, self.seed = inner, seed
        self._lock, self._turn = threading.RLock(), -1
        self._left: dict[int, list[Any]] = {}

    @contextmanager
    def _drawing(self, number: int, *, anew: bool = False) -> Iterator[None]:
        """Use this trial's random states inside: as it left them, or new ones."""
        with self._lock:
            if anew or self._turn != number:
                states = _optuna.random_states(self.inner)
                if self._turn >= 0:
                    self._left[self._turn] = [state.rng.get_state() for state in states]
                if anew:
                    drawn = np.random.SeedSequence([self.seed, number]).spawn(len(states))
                    _optuna.reseed(states, [int(words.generate_state(1)[0]) for words in drawn])
                else:
                    for state, mine in zip(states, self._left.get(number, ()), strict=False):
                        state.rng.set_state(mine)
                self._turn = number
            yield

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Seed all random states of the sampler."""
        with self._drawing(trial.number, anew=True):
            self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The inner sampler's."""
        with self._drawing(trial.number):
            return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The inner sampler's."""
        with self._drawing(trial.number):
            return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The inner sampler's."""
        with self._drawing(trial.number):
            return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """The inner sampler's."""
        with self._drawing(trial.number):
            self.inner.after_trial(study, trial, state, values)
            self._turn = -1
            self._left.pop(trial.number, None)
