"""How much of a space satisfies its constraints, before anything is trained."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache

from chattn_nas.network import build_network, cost
from chattn_nas.search.job import Job
from chattn_nas.space import NONE, Architecture, Stage, StageChoice

#: Up to this many networks a space is enumerated, beyond it sampled.
ENUMERATED, SAMPLED = 200_000, 20_000


@dataclass(frozen=True)
class FeasibleShare:
    """The feasible part of a space.

    Attributes:
        share: 0 to 1; ``low`` and ``high`` are its 95 % interval (Wilson, 1927), equal to it where ``exact``.
        exact: Counted over every network; otherwise estimated from a seeded sample.
        unchecked: Constraints that only a measurement can tell (latency).
    """

    share: float
    low: float
    high: float
    exact: bool
    unchecked: tuple[str, ...] = ()

    def __str__(self) -> str:
        interval = "" if self.exact else f" (95 % interval {100 * self.low:.1f} to {100 * self.high:.1f} %)"
        rest = f", {' and '.join(self.unchecked)} to be measured" if self.unchecked else ""
        return f"{100 * self.share:.1f} % of them feasible{interval}{rest}"


def feasible_share(job: Job, *, seed: int = 0) -> FeasibleShare:
    """Count or estimate the part of the space within the bounds on parameters and MACs.

    Raises:
        InputError: The backbone or the space is not possible.
    """
    space = job.search_space()
    bounds = {name: bound for name, bound in job.search.bounds.items() if name != "latency"}
    unchecked = tuple(name for name in job.search.bounds if name == "latency")
    if not bounds:
        return FeasibleShare(1.0, 1.0, 1.0, exact=True, unchecked=unchecked)
    size = job.data.image_size
    plain = Architecture.uniform(space.backbone, NONE)
    found = cost(build_network(plain, num_classes=10, image_size=size, seed=0), size)
    reference = {"parameters": found.parameters, "macs": found.macs}

    @cache
    def added(choice: StageChoice, stage: Stage) -> dict[str, int]:
        return dict(zip(("parameters", "macs"), choice.cost(stage), strict=True))

    def feasible(architecture: Architecture) -> bool:
        extra = [added(choice, stage) for choice, stage in zip(architecture.stages, space.stages, strict=True)]
        return all(
            bound.satisfied(reference[name] + sum(one[name] for one in extra), reference[name])
            for name, bound in bounds.items()
        )

    if space.canonical_size <= ENUMERATED:
        share = sum(map(feasible, space.enumerate())) / space.canonical_size
        return FeasibleShare(share, share, share, exact=True, unchecked=unchecked)
    rng = random.Random(seed)
    share = sum(feasible(space.random(rng)) for _ in range(SAMPLED)) / SAMPLED
    return FeasibleShare(share, *_wilson(share, SAMPLED), exact=False, unchecked=unchecked)


def _wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
