"""Regularised evolution as an Optuna sampler.

Real, Aggarwal, Huang, Le (2019), "Regularized Evolution for Image Classifier Architecture Search": the best of a random
few out of the youngest ``population`` has one stage redrawn.
"""

from __future__ import annotations

import random
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from chattn_nas.search.whole_network import WholeNetworkSampler
from chattn_nas.space import Architecture, SearchSpace
from chattn_nas.study._optuna import id_of, set_system, trial_now

_CHOSEN = "chattn:chosen"


class RegularizedEvolution(WholeNetworkSampler):
    """Proposes children of good networks.

    Args:
        space: The space to propose from.
        seed: Seed of its choices.
        population: Number of newest trials that may become parents; until as many have ended, networks are random.
        tournament: Number of trials drawn, of which the best becomes the parent.
    """

    def __init__(self, space: SearchSpace, seed: int, population: int = 16, tournament: int = 4) -> None:
        self.space, self.population, self.tournament = space, population, tournament
        self._rng = random.Random(seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Choose the network of this trial."""
        set_system(study, id_of(trial), _CHOSEN, self.space.params(self._choose(study)))

    def _choose(self, study: optuna.Study) -> Architecture:
        young = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))[-self.population :]
        other = self.space.random(self._rng)
        if len(young) < self.population:
            return other
        drawn = self._rng.sample(young, self.tournament)
        best = max(drawn, key=lambda one: one.value if one.value is not None else float("-inf"))
        parent = self.space.sample(optuna.trial.FixedTrial(best.params)).canonical(self.space.stages)
        stage = self._rng.randrange(len(self.space.stages))
        stages = (*parent.stages[:stage], other.stages[stage], *parent.stages[stage + 1 :])
        return Architecture(self.space.backbone, stages)

    def proposal(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """The network that was chosen before the trial."""
        chosen: dict[str, Any] = trial_now(study, trial).system_attrs[_CHOSEN]
        return chosen
