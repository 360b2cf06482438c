"""Attacks on the judging, and other ways to judge that were tried and not taken; docs/judging.md has what came out.

    python scripts/benchmarks/judging_tried.py stopping --studies 2000   # as many seeds more as promise a claim most
    python scripts/benchmarks/judging_tried.py skew --studies 2000       # corrections for skewed noise
    python scripts/benchmarks/judging_tried.py lending --studies 4000    # two seeds that borrow as much as five
    python scripts/benchmarks/judging_tried.py foretold --studies 12     # is "about so many more trainings" true?

Each prints a Markdown table.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from judging import HARDER, KINDS, NOISE, PAIRS, ROLES, judged, noise
from scipy import stats

from chattn_nas.judging import comparison
from chattn_nas.judging._confirmation import alpha_of
from chattn_nas.judging.comparison import Comparison, compare_block
from chattn_nas.results._best import Z80, Z95
from chattn_nas.results.pooled import Choices, Observation, Pooled

#: A stopper's looks, the most seeds that it pays for, and the most that it adds at once.
LOOKS, MOST, AT_ONCE = 12, 40, 20
#: The difference of which a report foretells what shows it, ``judging.useful``.
USEFUL = 0.3


def table(*heads: str) -> None:
    """Print the head of a table."""
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")


def row(*cells: object) -> None:
    """Print a row."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def stopping(studies: int) -> None:
    """False claims where equal networks get, at every look, the fewest seeds more that would make the largest one."""
    comparison._largest = lru_cache(maxsize=400)(comparison._largest.__wrapped__)  # type: ignore[assignment]
    table("noise", "first look at", "something falsely claimed")
    for kind, first in itertools.product(("normal", "two scatter twice as much"), (2, 3, 5)):
        runs = noise(kind, (studies, len(ROLES), MOST), np.random.default_rng([21, first]))
        seeds, claimed = np.full(studies, first), np.zeros(studies, dtype=bool)
        for look in range(1, LOOKS + 1):
            for study in sorted(np.flatnonzero(~claimed & (seeds > 0)), key=lambda one: int(seeds[one])):
                found = compare_block(runs[study, :, : seeds[study]], PAIRS, alpha=alpha_of(look))
                claimed[study] = any(map(shown, found))
                seeds[study] = next_seeds(int(seeds[study]), found)
        row(kind, first, f"{100 * claimed.mean():.1f} %")


def next_seeds(seeds: int, found: list[Comparison]) -> int:
    """How many seeds a stopper looks at next; 0 where he has paid for all."""
    nearest = max(abs(one.mean) / width(one) for one in found)
    return 0 if seeds == MOST else min(MOST, seeds + int(np.clip(math.ceil(seeds / nearest**2) - seeds, 1, AT_ONCE)))


def shown(one: Comparison) -> bool:
    """Whether a difference is claimed."""
    return one.judgement != "no difference shown"


def width(one: Comparison) -> float:
    """Half of its interval."""
    assert one.t_high is not None
    return one.t_high - one.mean


def signs_as_judged(runs: np.ndarray) -> np.ndarray:
    """The sign of every claim, 0 where none is made; (pairs,)."""
    return np.array([np.sign(one.mean) * shown(one) for one in judged(runs)])


def signs_by_johnson(runs: np.ndarray) -> np.ndarray:
    """The claims that Johnson's modified t (1978) makes as well: the mean moved by the skewness of the differences."""
    signs = []
    for one, (first, second) in zip(judged(runs), PAIRS, strict=True):
        apart = runs[first] - runs[second]
        skewness, size = stats.skew(apart), apart.std(ddof=1)
        moved = one.mean + skewness * size / (6 * len(apart)) + skewness * one.mean**2 / (3 * size)
        signs.append(np.sign(one.mean) * (shown(one) and abs(moved) > width(one) and moved * one.mean > 0))
    return np.array(signs)


def signs_by_wider_limits(runs: np.ndarray) -> np.ndarray:
    """The claims beyond limits that grow by a quarter of the residuals' skewness, where that is over one half."""
    rest = runs - runs.mean(1, keepdims=True) - runs.mean(0) + runs.mean()
    skewness = abs(float(stats.skew(rest, axis=None)))
    wider = 1 + 0.25 * skewness * (skewness > 0.5)
    return np.array([np.sign(one.mean) * (abs(one.mean) > wider * width(one)) for one in judged(runs)])


def signs_by_flips(runs: np.ndarray) -> np.ndarray:
    """The claims by the largest t of the family where the signs of whole seeds are flipped, all of them or 1,024."""
    apart = np.array([runs[first] - runs[second] for first, second in PAIRS])
    seeds = runs.shape[1]
    flips = np.array(list(itertools.product((1, -1), repeat=seeds)))
    means = apart @ flips.T / seeds
    errors = np.sqrt((apart**2).sum(1, keepdims=True) / seeds - means**2)
    largest = np.abs(means / errors)
    p = (largest.max(0) >= largest[:, :1] - 1e-9).mean(1)  # the first flips nothing
    return np.sign(means[:, 0]) * (p < alpha_of(1))


JUDGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": signs_as_judged, "Johnson's t takes claims away": signs_by_johnson,
    "limits grow with skewness": signs_by_wider_limits, "signs of seeds flipped": signs_by_flips,
}  # fmt: skip


def skew(studies: int) -> None:
    """False claims where one network of long-tailed noise scatters most, and the power that a correction costs."""
    table("judged", "seeds", "wrong: skewed, and one scatters 4 times as much", "wrong: normal", "wrong: skewed",
          "true difference", "shown: normal", "shown: skewed")  # fmt: skip
    for (name, judge), (seeds, lift) in itertools.product(JUDGES.items(), ((3, 1.2), (5, 1.2), (10, 0.6))):
        kinds = ("skewed, and one scatters 4 times as much", "normal", "skewed")
        drawn = {kind: noise(kind, (studies, len(ROLES), seeds), np.random.default_rng([22, seeds])) for kind in kinds}
        wrong = [np.mean([judge(of).any() for of in drawn[kind]]) for kind in kinds]
        power = []
        for kind in kinds[1:]:
            drawn[kind][:, 0] += lift
            power.append(np.mean([judge(of)[0] > 0 for of in drawn[kind]]))
        row(name, seeds, *(f"{100 * one:.1f} %" for one in wrong), lift, *(f"{100 * one:.0f} %" for one in power))


def lending(studies: int) -> None:
    """False claims of two seeds where they borrow of the other networks' scatter as five do, and where less."""
    table("noise", "as it is", "as much as with five")
    shipped = comparison.WHOLE_FROM
    for kind in (KINDS[0], *(kind for kind in KINDS + HARDER if kind.startswith("one scatters"))):
        runs = noise(kind, (studies, len(ROLES), 2), np.random.default_rng([24, studies]))
        wrong = []
        for comparison.WHOLE_FROM in (shipped, 2):
            wrong.append(np.mean([any(map(shown, judged(of))) for of in runs]))
        row(kind, *(f"{100 * one:.1f} %" for one in wrong))
    comparison.WHOLE_FROM = shipped


def foretold(studies: int) -> None:
    """Trainings in all that show a useful difference of pick and rival, as foretold after so many; medians."""
    counts = (30, 45, 90, 180, 360)
    table("seeds", *(f"after {count}" for count in counts))
    for label, seeds in (("ever more", None), ("three, then more networks", 3)):
        found = np.array([list(foretold_in_all(np.random.default_rng([23, study]), counts, seeds))
                          for study in range(studies)])  # fmt: skip
        cells = []
        for column in found.T:
            low, middle, high = np.quantile(column, [0.25, 0.5, 0.75])
            cells.append(f"{middle:.0f} ({low:.0f} to {high:.0f})")
        row(label, *cells)


def foretold_in_all(rng: np.random.Generator, counts: tuple[int, ...], seeds: int | None) -> Iterator[float]:
    """One study of three stages and four types: 15 networks on ever more seeds, or ever more on so many seeds."""
    every = [tuple((f"type{t}", "") for t in types) for types in itertools.product(range(4), repeat=3)]
    networks: list[Choices] = [every[place] for place in rng.permutation(len(every))]
    effects = {(stage, f"type{t}"): rng.normal(0, 0.3) for stage in range(3) for t in range(4)}
    own = {one: rng.normal(0, 0.2) for one in networks}
    block = rng.normal(0, 0.3, 100)
    slopes = {(seed, *key): rng.normal(0, 0.1) for seed in range(100) for key in effects}
    if seeds is None:
        order = list(itertools.product(range(100), networks[:15]))
    else:
        order = [(seed, one) for one in networks for seed in range(seeds)]
        order += [(seed, one) for seed in range(seeds, 100) for one in networks]
    seen = []
    for seed, one in order[: counts[-1]]:
        value = 60 + own[one] + block[seed] + rng.normal(0, NOISE)
        value += sum(effects[stage, name] + slopes[seed, stage, name] for stage, (name, _) in enumerate(one))
        seen.append(Observation(one, seed, float(value)))
    for count in counts:
        model = Pooled(seen[:count])
        known = list(dict.fromkeys(one.choices for one in seen[:count]))
        means = model.predict(known).mean
        first, second = (known[place] for place in np.argsort(-means)[:2])
        sd = float(model.differences([first], [second]).sd[0])
        yield count * (sd * (Z95 + Z80) / USEFUL) ** 2


TRIED = {"stopping": stopping, "skew": skew, "lending": lending, "foretold": foretold}


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(TRIED))
    parser.add_argument("--studies", type=int, default=40)
    arguments = parser.parse_args()
    TRIED[arguments.what](arguments.studies)


if __name__ == "__main__":
    main()
