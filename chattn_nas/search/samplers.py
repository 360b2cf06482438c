"""Samplers by their names in a spec: Optuna's, ours, and a grid of the different networks."""

from __future__ import annotations

import random
import warnings
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial

from chattn_nas.errors import InputError
from chattn_nas.search.by_path import made_by_path
from chattn_nas.search.pooled.sampler import PooledSampler
from chattn_nas.search.search_study import SamplerView, SeededByTrial
from chattn_nas.search.whole_network import WholeNetworkSampler
from chattn_nas.space import SearchSpace
from chattn_nas.spec.search_settings import SAMPLERS, SearchSettings
from chattn_nas.study.history import history

GRID_LIMIT = 100_000


#: Samplers that model only parameters which every trial has, and draw all others at random: they are shown all.
UNCONDITIONAL = (GPSampler, NSGAIISampler, NSGAIIISampler)
#: Samplers that learn nothing from trials that were stopped or refused, and propose those networks for ever.
COMPLETE_ONLY = (GPSampler,)
#: Samplers of numbers: categories they draw at random.
NUMERICAL = (CmaEsSampler, QMCSampler)


def build_sampler(settings: SearchSettings, space: SearchSpace) -> BaseSampler:
    """Make the sampler of the spec.

    Args:
        settings: Sampler, objectives and seed; every trial draws from random numbers of its own
            (:class:`.SeededByTrial`).
        space: The space to propose from.

    Raises:
        InputError: The sampler does not fit the space.
    """
    seed = settings.seed
    if ":" in settings.sampler:
        made = made_by_path(settings.sampler, BaseSampler, seed=seed, space=space)
        if isinstance(made, NUMERICAL):
            raise _at_random(settings.sampler)
        return SeededByTrial(made, seed)
    if settings.sampler == "grid":
        return GridSampler(space, seed)
    if settings.sampler == "pooled":
        return PooledSampler(
            space, seed, most=settings.max_seeds, objectives=tuple(settings.objectives), bounds=settings.bounds
        )
    if settings.sampler == "cmaes":
        raise _at_random("cmaes")
    return SeededByTrial(_optuna_sampler(settings.sampler, seed), seed)


def _at_random(name: str) -> InputError:
    return InputError(
        f"sampler {name!r} searches numbers, and every choice here is a category: it would propose at random",
        where=("sampler",), value=name, choices=[name for name in SAMPLERS if name != "cmaes"],
    )  # fmt: skip


def _optuna_sampler(name: str, seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match name:
            case "random":
                return RandomSampler(seed)
            case "gp":
                return GPSampler(seed=seed)
            case "nsga2":
                return NSGAIISampler(seed=seed, population_size=20)
            case "nsga3":
                return NSGAIIISampler(seed=seed, population_size=20)
    return TPESampler(seed=seed)


def shown_to(sampler: BaseSampler, space: SearchSpace) -> SamplerView:
    """How this sampler must see the trials of a study: as they are if it models conditions and what was stopped."""
    inner = sampler.inner if isinstance(sampler, SeededByTrial) else sampler
    filled = space.parameters() if isinstance(inner, UNCONDITIONAL) else {}
    return SamplerView(filled, stopped_as_worst=isinstance(inner, COMPLETE_ONLY))


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
        random.Random(seed).shuffle(grid)
        self.space, self.again = space, grid
        self.grid = [architecture for architecture in grid if architecture.hash not in given] or grid

    def proposal(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """The network whose turn it is, by the number of earlier trials that were proposed."""
        turn = history(study).proposed_before(trial.number)
        first = len(self.grid)  # the baselines were queued; from the second round on they are replicated as all others
        network = self.grid[turn] if turn < first else self.again[(turn - first) % len(self.again)]
        params = self.space.params(network)
        assert params is not None, "the grid is of this space"
        return params
