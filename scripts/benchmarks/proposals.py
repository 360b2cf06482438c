#!/usr/bin/env python
"""CPU time that ``sampler: pooled`` takes to propose, with many trainings known.

    python scripts/benchmarks/proposals.py [--trainings 1000]

Per simulated world: the first proposal of a process, which learns the standard deviations and imports what that
takes, then the median of the next 15.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np
import optuna

from chattn_nas.benchmark.worlds import KINDS, World
from chattn_nas.results.pooled import Observation
from chattn_nas.search.pooled.evidence import Evidence
from chattn_nas.search.pooled.sampler import PooledSampler


def proposals(name: str, trainings: int) -> tuple[int, float, float]:
    """Networks of the space, and seconds of the first and of the median later proposal."""
    world, rng = World(name, 0), np.random.default_rng(0)
    sampler = PooledSampler(world.space, 0, most=4)
    seen = [
        Observation(
            sampler.networks.choices(row), number % 4,
            float(world.worth(sampler.networks.architecture(row)) + rng.normal(0, world.kind.noise)),
        )
        for number, row in enumerate(sampler.networks.drawn(trainings, rng))
    ]  # fmt: skip
    known = Evidence(seen=seen, taken=Counter(one.choices for one in seen))
    sampler._reader.read = lambda study, but: known  # type: ignore[method-assign]
    study, times = optuna.create_study(), []
    for number in range(trainings, trainings + 16):
        begun = time.process_time()
        sampler.propose(study, number)
        times.append(time.process_time() - begun)
    return world.space.canonical_size, times[0], float(np.median(times[1:]))


def main() -> None:
    """Print a line per world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=1000)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in KINDS:
        size, first, later = proposals(name, arguments.trainings)
        print(f"{name}, {size:,} networks: {first:.2f} s, then {1000 * later:.0f} ms")


if __name__ == "__main__":
    main()
