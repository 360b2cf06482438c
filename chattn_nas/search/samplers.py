"""What proposes architectures: Optuna's samplers, and a grid of the different networks."""

from __future__ import annotations

import random
import warnings
from collections.abc import Container
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial, TrialState

from chattn_nas.errors import InputError
from chattn_nas.space import SearchSpace
from chattn_nas.spec.search_settings import SearchSettings
from chattn_nas.study.trials import all_trials

#: User attribute of a trial whose architecture was given and is not in the space (``none`` and the control may be so).
GIVEN = "given"
GRID_LIMIT = 100_000


class SearchStudy(optuna.Study):
    """A study whose samplers and pruners do not see trials from outside the space.

    Such a trial has no parameters. Samplers that model parameters jointly take those that all trials have in common:
    one trial without any would leave them nothing.
    """

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy, states, use_cache)
        return [trial for trial in trials if GIVEN not in trial.user_attrs]


def build_sampler(settings: SearchSettings, space: SearchSpace, seed: int) -> BaseSampler:
    """The sampler of the spec.

    Args:
        settings: Sampler and objectives.
        space: What it proposes from.
        seed: Differs between workers and sessions, or all would propose the same.

    Raises:
        InputError: The sampler does not fit the space.
    """
    if settings.sampler == "grid":
        return GridSampler(space, settings.seed)
    if settings.sampler == "cmaes":
        raise InputError(
            "sampler 'cmaes' adapts a covariance of numbers, and every choice here is a category: it would propose at "
            "random",
            where=("sampler",), value="cmaes", choices=("tpe", "gp", "nsga2", "nsga3", "random", "grid"),
        )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match settings.sampler:
            case "random":
                return RandomSampler(seed)
            case "gp":
                return GPSampler(seed=seed, warn_independent_sampling=False)
            case "nsga2":
                return NSGAIISampler(seed=seed, population_size=20)
            case "nsga3":
                return NSGAIIISampler(seed=seed, population_size=20)
    return TPESampler(seed=seed)


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


class GridSampler(WholeNetworkSampler):
    """Every different network of the space once, in an order drawn under ``seed``, then again (on the next seed).

    Optuna's own grid crosses all parameters, also those of types that were not chosen: most of its points are repeats.

    Raises:
        InputError: The space has more than 100,000 different networks.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        if space.canonical_size > GRID_LIMIT:
            raise InputError(
                f"a grid over {space.canonical_size:,} different networks never ends; 'random' is a sample of it",
                where=("sampler",),
            )
        given = {architecture.canonical(space.stages).hash for _, architecture in space.baselines()}
        grid = list(space.enumerate())
        rest = [architecture for architecture in grid if architecture.hash not in given]
        self.space, self.grid = space, rest or grid
        random.Random(seed).shuffle(self.grid)

    def proposal(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """The network whose turn it is: counted by the earlier trials that were proposed."""
        turn = sum(
            1 for other in all_trials(study) if other.number < trial.number and "fixed_params" not in other.system_attrs
        )
        params = self.space.params(self.grid[turn % len(self.grid)])
        assert params is not None, "the grid is of this space"
        return params
