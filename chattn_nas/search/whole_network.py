"""Base of samplers that propose whole networks instead of one parameter at a time."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial


class WholeNetworkSampler(BaseSampler):
    """Proposes whole networks: a subclass chooses the network, and every parameter takes its value from it."""

    def proposal(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """Return the parameters of the network for ``trial``, the same at every call."""
        raise NotImplementedError

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return nothing: the network fixes every parameter."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the parameter's value in the network."""
        return self.proposal(study, trial)[param_name]
