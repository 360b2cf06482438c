"""Stops trials at a rung where others did better."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial

from chattn_nas.search.by_path import made_by_path
from chattn_nas.search.pooled.pruner import PooledPruner
from chattn_nas.space import SearchSpace
from chattn_nas.spec.search_settings import SearchSettings
from chattn_nas.study._optuna import trial_now
from chattn_nas.study.attributes import trial_attributes
from chattn_nas.study.history import history

#: User attribute of a multi-objective trial: score and costs at every rung so far (they may not report).
RUNGS = "rungs"
#: A trial is compared with this many others, the latest: comparing all with all takes the square of their number.
LAST = 1000


def build_pruner(settings: SearchSettings, rungs: Sequence[int], space: SearchSpace | None = None) -> BasePruner:
    """Make the pruner for one objective, over the spec's rungs (epochs); ``pooled`` needs the space."""
    if settings.pruner == "none" or len(rungs) < 2 or settings.objectives != ["accuracy"]:
        return NopPruner()
    if ":" in settings.pruner:
        theirs: BasePruner = made_by_path(settings.pruner, BasePruner)
        return theirs
    if settings.pruner == "pooled":
        assert space is not None
        return PooledPruner(space, settings.seed)
    factor = settings.reduction_factor
    inner: BasePruner = SuccessiveHalvingPruner(min_resource=1, reduction_factor=factor)
    if settings.pruner == "hyperband":
        inner = HyperbandPruner(min_resource=1, max_resource=factor ** (len(rungs) - 1), reduction_factor=factor)
    return RungPruner(inner, rungs, factor)


class RungPruner(BasePruner):
    """Optuna's successive halving, over rungs at any epochs.

    Optuna supports only rungs at ``min_resource * reduction_factor ** i``, so it is shown rung ``i`` there, while the
    study (and its dashboard) keep the epochs.
    """

    def __init__(self, inner: BasePruner, rungs: Sequence[int], factor: int) -> None:
        self.inner = inner
        self.resource = {epoch: factor**index for index, epoch in enumerate(rungs)}

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial should stop at the rung that it reported last."""
        shown = copy.copy(trial)
        shown.intermediate_values = {
            self.resource[epoch]: value for epoch, value in trial.intermediate_values.items() if epoch in self.resource
        }
        return self.inner.prune(study, shown)


def should_stop(
    study: optuna.Study,
    trial: optuna.Trial,
    settings: SearchSettings,
    *,
    rung: int,
    costs: Sequence[float],
    score: float,
) -> bool:
    """Successive halving with several objectives: whether others dominate the trial at this rung.

    Args:
        study: Multi-objective.
        trial: Running; ``score`` and ``costs`` (the other objectives, known before training) are recorded in it.
        settings: Objectives, pruner and reduction factor.
        rung: Index of the rung just reached.
        costs: The costs in the order of the objectives, without accuracy.
        score: The score at this rung.
    """
    reached = {str(index): list(row) for index, row in trial_attributes(trial_now(study, trial)).rungs.items()}
    trial.set_user_attr(RUNGS, reached | {str(rung): [score, *costs]})
    if settings.pruner == "none":
        return False
    known = history(study)
    others = [
        there[rung]
        for other in (*known.finished[-LAST:], *known.open.values())
        if other.number != trial.number and rung in (there := known.attributes(other).rungs)
    ]
    losses = np.array([[-row[0], *row[1:]] for row in [*others, [score, *costs]]])
    return not survives(losses, settings.reduction_factor)


def passes(seed: int, number: int, rung: int, share: float) -> bool:
    """Draw whether a trial that others beat at a rung goes on all the same.

    Learning curves cross: if a rung stopped every such trial, nothing would show what becomes of them. The draw depends
    on the search and the trial only.

    Args:
        seed: Seed of the search.
        number: Number of the trial.
        rung: Index of the rung.
        share: Share of such trials that go on.
    """
    return bool(np.random.default_rng([seed, number, rung]).random() < share)


def survives(losses: np.ndarray, factor: int) -> bool:
    """Whether the last of the trials at a rung is among the best ``1 / factor`` by non-dominated rank.

    A trial on the front always survives. With one objective this is asynchronous successive halving (Li et al., 2018)
    as Optuna does it: at least the best one goes on.

    Args:
        losses: (trials, objectives), all minimised.
        factor: Reduction factor.
    """
    ranks = nondominated_ranks(losses)
    return int((ranks < ranks[-1]).sum()) < max(1, len(losses) // factor)


def nondominated_ranks(losses: np.ndarray) -> np.ndarray:
    """Rank 0 for rows that no other row dominates, 1 for those that only rank 0 dominates, and so on (Deb, 2002)."""
    dominates = (losses[:, None] <= losses[None]).all(2) & (losses[:, None] < losses[None]).any(2)
    ranks = np.full(len(losses), -1)
    left = np.ones(len(losses), dtype=bool)
    rank = 0
    while left.any():
        front = left & ~(dominates & left[:, None]).any(0)
        ranks[front] = rank
        left &= ~front
        rank += 1
    return ranks
