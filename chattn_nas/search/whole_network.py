"""Samplers that propose whole networks instead of one parameter after the other."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial


class WholeNetworkSampler(BaseSampler):
    """Proposes whole networks: a subclass says which, and every parameter is its value there."""

    def proposal(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """The parameters of the network that ``trial`` gets, the same at every call."""
        raise NotImplementedError

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """None: the network fixes every parameter by itself."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The parameter's value in the network."""
        return self.proposal(study, trial)[param_name]
