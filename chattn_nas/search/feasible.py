"""The share of a search space that satisfies the constraints, computed before anything is trained."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from chattn_nas import tasks
from chattn_nas.network import Constraint, build_network, cost
from chattn_nas.space import NONE, Architecture, SearchSpace
from chattn_nas.spec.spec import Spec

#: Different sums of costs that are still added up exactly, and networks drawn where there are more.
EXACT, DRAWN = 200_000, 20_000


@dataclass(frozen=True)
class FeasibleShare:
    """The number of different networks that satisfy the constraints on parameters and MACs.

    Attributes:
        feasible: Number of feasible networks.
        networks: Number of networks that were examined: the whole space if ``exact``, else a random sample.
        exact: Whether the whole space was examined.
        latency_unknown: Whether there is a bound on latency, which is not considered: it would have to be measured.
    """

    feasible: int
    networks: int
    exact: bool
    latency_unknown: bool

    @property
    def share(self) -> float:
        """The feasible share, 0 to 1."""
        return self.feasible / self.networks

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share (Clopper and Pearson, 1934); the share itself if all were counted."""
        if self.exact:
            return self.share, self.share
        from scipy.stats import binomtest

        interval = binomtest(self.feasible, self.networks).proportion_ci(0.95)
        return float(interval.low), float(interval.high)

    def __str__(self) -> str:
        low, high = self.interval
        about = "" if self.exact else f"about {100 * low:.1f} to {100 * high:.1f} % (95 %, {self.networks:,} drawn), "
        rest = "; latency is measured in the search" if self.latency_unknown else ""
        return f"{about}{100 * self.share:.3g} % of them satisfy the constraints{rest}"


def feasible_share(spec: Spec) -> FeasibleShare:
    """Count by the closed formulas of every attention type, added to the measured costs of the bare backbone.

    Raises:
        InputError: The backbone, the space or the data do not exist.
    """
    space = spec.search_space()
    latency = "latency" in spec.search.bounds
    bounds = _bounds(spec)
    if not bounds:
        return FeasibleShare(space.canonical_size, space.canonical_size, exact=True, latency_unknown=latency)
    reference = _reference(spec, space)

    def satisfied(added: tuple[int, int]) -> bool:
        return _within(bounds, reference, added)

    sums = _sums(space)
    if sums is not None:
        feasible = sum(count for added, count in sums.items() if satisfied(added))
        return FeasibleShare(feasible, space.canonical_size, exact=True, latency_unknown=latency)
    rng = random.Random(0)
    drawn = [_added(space, space.random(rng)) for _ in range(DRAWN)]
    return FeasibleShare(sum(map(satisfied, drawn)), DRAWN, exact=False, latency_unknown=latency)


def feasible_baselines(spec: Spec) -> list[tuple[str, Architecture]]:
    """The baselines that satisfy the constraints on parameters and MACs, in the order of a search."""
    space, bounds = spec.search_space(), _bounds(spec)
    if not bounds:
        return space.baselines()
    reference = _reference(spec, space)
    return [one for one in space.baselines() if _within(bounds, reference, _added(space, one[1]))]


def _bounds(spec: Spec) -> list[tuple[Constraint, int]]:
    """The constraints, each with the place of its cost among (parameters, MACs)."""
    bounds = spec.search.bounds
    return [(bounds[cost], index) for index, cost in enumerate(("parameters", "macs")) if cost in bounds]


def _within(bounds: list[tuple[Constraint, int]], reference: tuple[int, int], added: tuple[int, int]) -> bool:
    return all(bound.satisfied(reference[index] + added[index], reference[index]) for bound, index in bounds)


def _reference(spec: Spec, space: SearchSpace) -> tuple[int, int]:
    data = tasks.load(spec.task, spec.data)
    bare = build_network(
        Architecture.uniform(spec.backbone.backbone, NONE),
        num_classes=data.num_classes or 1, in_chans=data.in_chans, image_size=data.image_size, seed=0,
    )  # fmt: skip
    costs = cost(data.task.network(bare, 0), data.image_size, in_chans=data.in_chans)
    return costs.parameters, costs.macs


def _sums(space: SearchSpace) -> Counter[tuple[int, int]] | None:
    """The costs that networks add to the backbone, each with its number of networks; ``None`` if there are too many."""
    sums = Counter({(0, 0): 1})
    for stage, choices in zip(space.stages, space.canonical, strict=True):
        costs = [form.cost(stage) for form in dict.fromkeys(choices.values())]
        longer: Counter[tuple[int, int]] = Counter()
        for (parameters, macs), count in sums.items():
            for more_parameters, more_macs in costs:
                longer[parameters + more_parameters, macs + more_macs] += count
            if len(longer) > EXACT:
                return None
        sums = longer
    return sums


def _added(space: SearchSpace, architecture: Architecture) -> tuple[int, int]:
    costs = [choice.cost(stage) for choice, stage in zip(architecture.stages, space.stages, strict=True)]
    return sum(parameters for parameters, _ in costs), sum(macs for _, macs in costs)
