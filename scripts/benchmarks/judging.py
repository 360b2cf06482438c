"""How far the judging can be trusted: coverage, power and false claims in simulated studies whose truth is known.

    python scripts/benchmarks/judging.py coverage --studies 100    # the pooled model, worlds of worlds.py
    python scripts/benchmarks/judging.py confirm --studies 4000    # families of differences, by kind of noise
    python scripts/benchmarks/judging.py methods --studies 2000    # the same by other corrections
    python scripts/benchmarks/judging.py borrowed --studies 2000   # and with other weights of the rest's scatter
    python scripts/benchmarks/judging.py announced --studies 6000  # how large a difference is said to be that was shown
    python scripts/benchmarks/judging.py many --studies 2000       # and with more networks
    python scripts/benchmarks/judging.py prior --studies 40        # which terms of the model make intervals wide
    python scripts/benchmarks/judging.py looks --studies 400       # confirm again and again with more seeds
    python scripts/benchmarks/judging.py calibrate --studies 300   # recommended proxies that do not suffice

Each prints a Markdown table; docs/judging.md holds them with date, hardware and versions. With ``--keep FILE`` every
study of ``coverage`` goes to a CSV file, and what is there is not simulated again; ``--minutes`` ends it in time.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import worlds
from scipy import stats

from chattn_nas.judging import comparison
from chattn_nas.judging._confirmation import alpha_of, families
from chattn_nas.judging.agreement import agreement, excess
from chattn_nas.judging.calibration import ERROR
from chattn_nas.judging.comparison import compare_block
from chattn_nas.judging.holm import holm
from chattn_nas.results.pooled import likelihood
from chattn_nas.study.record import RIVAL

comparison.bootstrap = lambda differences: (None, None)  # stands beside the verdict, and takes nine tenths of the time

#: Standard deviation of one training in the shipped table, points.
NOISE = 0.51
#: What ``confirm`` trains: three candidates, the best uniform network, none, the learned factor, the random gate.
ROLES = ("candidate", "candidate", "candidate", "uniform", "none", RIVAL, "control")
#: What it claims: the first four against each of the three rivals.
PAIRS = [(one, other) for one, other, _ in families([[role] for role in ROLES])[0]]
#: Of these, the first candidate's.
RIVALS = [place for place, (one, _) in enumerate(PAIRS) if one == 0]
#: The roles, and what is claimed, where it trains eight candidates.
MORE_ROLES = ("candidate",) * 8 + ROLES[3:]
MORE_PAIRS = [(one, other) for one, other, _ in families([[role] for role in MORE_ROLES])[0]]
KINDS = (
    "normal", "heavy tails", "skewed", "one scatters 2.5 times as much", "one scatters 4 times as much",
    "two scatter twice as much", "all scatter differently", "collapses", "type by seed",
)  # fmt: skip
#: Harder than is to be expected, some of them beyond what few seeds can know; of ``confirm`` alone.
HARDER = (
    "one scatters 10 times as much", "three rivals scatter 4 times as much", "one ends ten points lower or higher",
    "two scatter 10 times as much", "skewed, and one scatters 4 times as much",
    "a candidate ends ten points lower once in five",
)  # fmt: skip


#: Numbers of seeds that ``confirm`` is measured with.
SEEDS = (2, 3, 5, 10)


def coverage(studies: int, keep: Path | None, minutes: float, only: Sequence[str]) -> None:
    """The pooled model in every world: one study of each after the other, so that an early end leaves a whole table."""
    rows = [] if keep is None or not keep.is_file() else list(csv.DictReader(keep.open()))
    done = {(row["world"], int(row["study"])) for row in rows}
    end = time.monotonic() + 60 * minutes
    wanted = [name for name in worlds.WORLDS if not only or name in only]
    for study, name in itertools.product(range(studies), wanted):
        if (name, study) in done or time.monotonic() > end:
            continue
        found = worlds.cover(worlds.WORLDS[name], np.random.default_rng([2026, study]))
        rows.append({"world": name, "study": study, **asdict(found)})
        if keep is not None:
            new = not keep.is_file()
            with keep.open("a", newline="") as file:
                writer = csv.DictWriter(file, list(rows[-1]), lineterminator="\n")
                if new:
                    writer.writeheader()
                writer.writerow(rows[-1])
    heads = ("world", "studies", "networks", "pairs", "effects", "pick - rival", "claimed", "wrongly", "regret",
             "of best single")  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in wanted:
        mine = [row for row in rows if row["world"] == name]
        if mine:
            shares = [_with_error([100 * float(row[key]) for row in mine], 0) + " %" for key in
                      ("networks", "pairs", "effects", "rival", "claimed", "false")]  # fmt: skip
            points = [_with_error([float(row[key]) for row in mine], 2) for key in ("regret", "single")]
            print(f"| {name} | {len(mine)} | {' | '.join([*shares, *points])} |", flush=True)


def _with_error(values: Sequence[float], digits: int) -> str:
    """Mean and its standard error over studies."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) / len(values) ** 0.5:.{digits or 1}f}"


def prior(studies: int) -> None:
    """Which terms of the model make intervals wide where they are not in the truth, and what they do where they are."""
    heads = ("world", "prior shares", "networks", "pairs", "effects")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    small: dict[str, tuple[str, ...]] = {
        "as they are": (), "type x seed 0.02": ("type_seed",), "pairs 0.02": ("pair",),
        "both 0.02": ("type_seed", "pair"), "both and whole 0.02": ("type_seed", "pair", "architecture"),
    }  # fmt: skip
    shipped = dict(likelihood.SHARE)
    for name in ("effects add up", "type x seed, 80 trainings", "pairs as large as types, 40"):
        for label, terms in small.items():
            likelihood.SHARE |= shipped | dict.fromkeys(terms, 0.02)
            found = [worlds.cover(worlds.WORLDS[name], np.random.default_rng([2026, one])) for one in range(studies)]
            cells = [_with_error([100 * getattr(one, key) for one in found], 0) + " %" for key in
                     ("networks", "pairs", "effects")]  # fmt: skip
            print(f"| {name} | {label} | {' | '.join(cells)} |", flush=True)
    likelihood.SHARE |= shipped


def noise(kind: str, size: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Noise of (studies, networks, seeds) with the same mean square in every kind but collapses."""
    drawn = rng.standard_normal(size)
    uniform = size[1] - 4  # the rival of most comparisons
    if kind == "heavy tails":
        drawn = rng.standard_t(3, size) / 3**0.5
    elif kind.startswith("skewed"):
        drawn = 1 - rng.exponential(1, size)
    elif kind == "collapses":  # one training in twenty ends ten points lower
        drawn = drawn - 20 * (rng.random(size) < 0.05)
    elif kind == "type by seed":  # three stages, 0.24 points each
        return 0.43 * drawn + 0.24 * _by_type(size, rng)
    elif kind == "one ends ten points lower or higher":
        drawn[:, uniform] += 20 * rng.choice([-1, 1], (size[0], size[2]))
    elif kind.startswith("a candidate ends"):  # of the same mean: two points higher otherwise
        drawn[:, 0] += 20 * (0.2 - (rng.random((size[0], size[2])) < 0.2))
    scale = np.ones((1, size[1], 1))
    if "one scatters" in kind:
        scale[0, uniform] = float(kind.split("scatters")[1].split()[0])
    elif kind.startswith("three rivals"):
        scale[0, uniform : uniform + 3] = 4.0
    elif kind.startswith("two scatter"):
        scale[0, [0, uniform]] = 10.0 if "10" in kind else 2.0
    elif kind == "all scatter differently":
        scale = np.exp(rng.normal(0, 0.5, (size[0], size[1], 1)))
    return NOISE * drawn * scale / np.sqrt((scale**2).mean(1, keepdims=True))


#: Types by stage of the networks.
TYPES = ("abc", "abd", "aab", "aaa", "nnn", "sss", "rrr")


def _by_type(size: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """What each study's seeds do to the types of each network, summed over stages."""
    luck = {(stage, name): rng.standard_normal((size[0], size[2])) for stage in range(3) for name in "abcdnsr"}
    return np.stack([sum(luck[place] for place in enumerate(types)) for types in TYPES], axis=1)


def confirm(studies: int, kinds: Sequence[str] = KINDS + HARDER, counts: Sequence[int] = SEEDS) -> None:
    """Family-wise error, power and what is announced of all that ``confirm`` claims, at the first look."""
    heads = ("seeds", "noise", "any false claim", "0.6 shown", "1.2 shown", "1.2 shown against any rival",
             "a shown 0.6 is announced as", "its mean")  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for seeds, kind in itertools.product(counts, kinds):
        rng = np.random.default_rng([seeds, (KINDS + HARDER).index(kind)])
        runs = noise(kind, (studies, len(ROLES), seeds), rng)
        false = _false(runs)
        found = {}
        for lift in (0.6, 1.2):
            lifted = runs[: studies // 4].copy()
            lifted[:, 0] += lift
            found[lift] = [judged(one) for one in lifted]
        better = {lift: np.array([[c.judgement == "better" for c in one] for one in of]) for lift, of in found.items()}
        shown = [one[0] for one in found[0.6] if one[0].judgement == "better"]
        announced = np.mean([one.size for one in shown]) if shown else np.nan
        plain = np.mean([one.mean for one in shown]) if shown else np.nan
        cells = (
            f"{100 * false:.1f} %", f"{100 * better[0.6][:, 0].mean():.0f} %",
            f"{100 * better[1.2][:, 0].mean():.0f} %",
            f"{100 * better[1.2][:, RIVALS].any(1).mean():.0f} %",
            *(f"{one:.2f}" if shown else "" for one in (announced, plain)),
        )  # fmt: skip
        print(f"| {seeds} | {kind} | {' | '.join(cells)} |", flush=True)


def announced(studies: int) -> None:
    """What is announced of the first candidate over the best uniform network, given that it was shown."""
    print("| seeds | true difference | shown | mean | announced | its middle 80 % |\n|---|---|---|---|---|---|")
    for seeds, lift in itertools.product((5, 10), (0.0, 0.3, 0.6, 1.2, 2.4)):
        runs = NOISE * np.random.default_rng([13, seeds, int(10 * lift)]).standard_normal((studies, len(ROLES), seeds))
        runs[:, 0] += lift
        found = [one for one in (judged(of)[0] for of in runs) if one.judgement != "no difference shown"]
        cells = [f"{100 * len(found) / studies:.1f} %", "", "", ""]
        if len(found) > 10:
            sizes = np.array([one.size for one in found])
            low, high = np.quantile(sizes, [0.1, 0.9])
            cells[1:] = [
                f"{np.mean([abs(one.mean) for one in found]):.2f}",
                f"{sizes.mean():.2f}",
                f"{low:.2f} to {high:.2f}",
            ]
        print(f"| {seeds} | {lift:g} | {' | '.join(cells)} |", flush=True)


def many(studies: int) -> None:
    """False claims of five and ten seeds where eight candidates are confirmed, not three."""
    print("| seeds | noise | any false claim of twelve networks |\n|---|---|---|")
    for seeds, kind in itertools.product((5, 10), KINDS + HARDER):
        if kind == "type by seed":  # its networks are the seven
            continue
        rng = np.random.default_rng([12, seeds, (KINDS + HARDER).index(kind)])
        runs = noise(kind, (studies, len(MORE_ROLES), seeds), rng)
        print(f"| {seeds} | {kind} | {100 * _false(runs, MORE_PAIRS):.1f} % |", flush=True)


def methods(studies: int) -> None:
    """What other corrections would have shown, step by step to how it is judged, and how often they claim falsely."""
    heads = ("one training scatters by", "true difference", "Holm", "as judged", "all 5 % spent at this look",
             "and the whole block's error", "and one rival alone (Dunnett)", "and the noise known")  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    alone = [pair for pair in PAIRS if pair[1] == PAIRS[0][1]]
    limit = comparison._limit(comparison._largest(tuple(alone), len(ROLES), 1e9), 1e9, len(alone), comparison.ALPHA)
    for spread, lift in itertools.product((0.51, 0.4), (0.6, 1.2)):
        rng = np.random.default_rng([int(100 * spread), int(10 * lift)])
        runs = spread * rng.standard_normal((studies, len(ROLES), 5))
        runs[:, 0] += lift
        cells = (
            np.mean([_holm(one) for one in runs]),
            np.mean([judged(one)[0].judgement == "better" for one in runs]),
            np.mean([compare_block(one, PAIRS)[0].judgement == "better" for one in runs]),
            np.mean([_block(one)[0] for one in runs]), np.mean([_block(one, alone)[0] for one in runs]),
            stats.norm.sf(limit - lift / (spread * (2 / 5) ** 0.5)),
        )  # fmt: skip
        print(f"| {spread:g} | {lift:g} | {' | '.join(f'{100 * cell:.0f} %' for cell in cells)} |", flush=True)

    print("\n| seeds | noise | false claims as judged | with the whole block's error |")
    print("|---|---|---|---|")
    for seeds, kind in itertools.product((5, 10), KINDS):
        runs = noise(kind, (studies, len(ROLES), seeds), np.random.default_rng([seeds, KINDS.index(kind)]))
        whole = np.mean([_block(of).any() for of in runs])
        print(f"| {seeds} | {kind} | {100 * _false(runs):.1f} % | {100 * whole:.1f} % |", flush=True)


def borrowed(studies: int) -> None:
    """Worst false claims and power by the weight of the other networks' scatter in a difference's own."""
    print(
        "| weight | worst false claims, 5 seeds | 10 seeds | 1.2 shown by 5 seeds | 0.6 by 10 |\n|---|---|---|---|---|"
    )
    shipped = comparison.BORROWED
    for weight in (0.0, 0.05, 0.15, 1.0):
        comparison.BORROWED = weight
        worst = {}
        for seeds in (5, 10):
            runs = {kind: noise(kind, (studies, len(ROLES), seeds), np.random.default_rng([seeds, place]))
                    for place, kind in enumerate(KINDS)}  # fmt: skip
            worst[seeds] = max((_false(of), kind) for kind, of in runs.items())
        power = []
        for seeds, lift in ((5, 1.2), (10, 0.6)):
            better = NOISE * np.random.default_rng([seeds, 9]).standard_normal((studies, len(ROLES), seeds))
            better[:, 0] += lift
            power.append(np.mean([judged(one)[0].judgement == "better" for one in better]))
        cells = [f"{100 * worst[seeds][0]:.1f} % ({worst[seeds][1]})" for seeds in (5, 10)]
        print(f"| {weight:g} | {' | '.join([*cells, *(f'{100 * one:.0f} %' for one in power)])} |", flush=True)
    comparison.BORROWED = shipped


def _false(runs: np.ndarray, pairs: Sequence[tuple[int, int]] = PAIRS) -> float:
    """Share of sets of equal networks of which any two are called different."""
    return float(np.mean([any(one.judgement != "no difference shown" for one in judged(of, pairs)) for of in runs]))


def _holm(runs: np.ndarray) -> bool:
    """Whether the first of the paired t tests is shown at 5 % after Holm's correction."""
    corrected = holm([stats.ttest_rel(runs[one], runs[other]).pvalue for one, other in PAIRS])
    return bool(corrected[0] < comparison.ALPHA and runs[0].mean() > runs[3].mean())


def _block(runs: np.ndarray, pairs: Sequence[tuple[int, int]] = PAIRS) -> np.ndarray:
    """Which are shown by the error of networks by seeds and the limit of the largest difference (Dunnett 1955)."""
    networks, seeds = runs.shape
    freedom = (networks - 1) * (seeds - 1)
    largest = comparison._largest(tuple(pairs), networks, freedom)
    limit = comparison._limit(largest, freedom, len(pairs), comparison.ALPHA)
    differences = np.array([runs[one].mean() - runs[other].mean() for one, other in pairs])
    return np.abs(differences) > limit * comparison.block_error(runs) * (2 / seeds) ** 0.5


def judged(runs: np.ndarray, pairs: Sequence[tuple[int, int]] = PAIRS) -> list:
    """The family at its first look."""
    return compare_block(runs, pairs, alpha=alpha_of(1))


def looks(studies: int, most: int = 20) -> None:
    """False claims of ``better`` where a confirmation is repeated with one seed more until something is shown."""
    rng = np.random.default_rng(1)
    print("| looks | something falsely called better |")
    print("|---|---|")
    runs = NOISE * rng.standard_normal((studies, len(ROLES), 4 + most))
    claimed = np.zeros(studies, dtype=bool)
    for look in range(1, most + 1):  # look by look, since a limit is drawn for every number of seeds
        for study in np.flatnonzero(~claimed):
            found = compare_block(runs[study, :, : 4 + look], PAIRS, alpha=alpha_of(look))
            claimed[study] = any(one.judgement == "better" for one in found)
        if look in (1, 2, 5, 10, most):
            print(f"| {look} | {100 * claimed.mean():.1f} % |", flush=True)
    planned(studies)


#: Errors of the looks at five and at ten seeds: as ``confirm`` spends them whether or not a second comes, and as a plan
#: of exactly two would (nominal levels of Pocock, 1977, and of O'Brien and Fleming, 1979, for 5 % together).
PLANS = {
    "as spent": (alpha_of(1), alpha_of(2)), "planned, Pocock": (0.0294, 0.0294),
    "planned, O'Brien and Fleming": (0.0052, 0.048),
}  # fmt: skip


def planned(studies: int) -> None:
    """Two looks, at five and at ten seeds: what is shown at either, by how the error is shared out."""
    heads = ("true difference", "5 seeds alone", "10 seeds alone", *(f"5, then 10: {name}" for name in PLANS))
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for lift in (0.0, 0.6, 1.2):
        runs = NOISE * np.random.default_rng([7, int(10 * lift)]).standard_normal((studies, len(ROLES), 10))
        runs[:, 0] += lift
        looked = {
            (count, alpha): np.array([_shown(of[:, :count], alpha, lift) for of in runs])
            for count, alpha in {(5, alpha_of(1)), (10, alpha_of(1)), *((5, one) for one, _ in PLANS.values()),
                                 *((10, two) for _, two in PLANS.values())}
        }  # fmt: skip
        shown = [looked[5, alpha_of(1)], looked[10, alpha_of(1)]]
        shown += [looked[5, one] | looked[10, two] for one, two in PLANS.values()]
        named = f"{lift:g}" if lift else "none: any false claim"
        print(f"| {named} | {' | '.join(f'{100 * one.mean():.1f} %' for one in shown)} |", flush=True)


def _shown(runs: np.ndarray, alpha: float, lift: float) -> bool:
    """Whether the first network is called better than its first rival; without a lift, whether any claim is made."""
    found = compare_block(runs, PAIRS, alpha=alpha)
    return found[0].judgement == "better" if lift else any(one.judgement != "no difference shown" for one in found)


def calibrate(studies: int) -> None:
    """How often proxies are recommended that rank below, at and above 80 % of the ceiling; two full trainings each."""
    heads = ("architectures", "scores", "proxy's tau over the ceiling", "one tried: recommended", "six tried: any",
             "each at 5 % alone: any")  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for count, step in ((10, 0), (10, 0.5), (16, 0), (16, 0.3), (32, 0)):
        for spread in (1.5, 0.75, 0.1):
            rng = np.random.default_rng([count, int(100 * spread)])
            alone, several, uncorrected = [], [], []
            for _ in range(studies):
                truth = rng.standard_normal(count)
                runs = truth + np.array([0.4] * 2 + [spread] * 6)[:, None] * rng.standard_normal((8, count))
                runs = np.round(runs / step) if step else runs
                full, proxies = runs[:2], runs[2:]
                least = agreement([tuple(full)]).tau_low
                found = [excess([(proxy, one) for one in full], [tuple(full)], 0.8).p for proxy in proxies]
                alone.append(least > 0 and found[0] < ERROR)
                several.append(least > 0 and min(found) < ERROR / len(found))
                uncorrected.append(least > 0 and min(found) < ERROR)
            ratio, told = _part(spread, step), f"in steps of {step:g} standard deviations" if step else "exact"
            cells = [f"{100 * np.mean(one):.0f} %" for one in (alone, several, uncorrected)]
            print(f"| {count} | {told} | {ratio:.2f} | {' | '.join(cells)} |", flush=True)


def _part(spread: float, step: float) -> float:
    """Kendall's tau of a proxy with this noise over that of full trainings, which have 0.4, from many architectures."""
    rng = np.random.default_rng(0)
    taus = []
    for _ in range(6):
        runs = rng.standard_normal(3000) + np.array([0.4, 0.4, spread])[:, None] * rng.standard_normal((3, 3000))
        one, other, proxy = np.round(runs / step) if step else runs
        taus.append([stats.kendalltau(*pair)[0] for pair in ((proxy, one), (one, other))])
    low, full = np.mean(taus, axis=0)
    return float(low / full)


SHORT = {
    "prior": prior,
    "announced": announced,
    "many": many,
    "methods": methods,
    "borrowed": borrowed,
    "looks": looks,
    "calibrate": calibrate,
}


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("coverage", "confirm", *SHORT))
    parser.add_argument("--studies", type=int, default=40)
    parser.add_argument("--keep", type=Path, help="CSV file of coverage's studies")
    parser.add_argument("--minutes", type=float, default=1e9, help="no study of coverage begins later")
    parser.add_argument("--world", action="append", default=[], help="only these worlds of coverage")
    parser.add_argument("--kind", action="append", choices=KINDS + HARDER, help="only these kinds of noise of confirm")
    parser.add_argument("--seeds", action="append", type=int, help="only these numbers of seeds of confirm")
    arguments = parser.parse_args()
    if arguments.what == "coverage":
        coverage(arguments.studies, arguments.keep, arguments.minutes, arguments.world)
    elif arguments.what == "confirm":
        confirm(arguments.studies, arguments.kind or KINDS + HARDER, arguments.seeds or SEEDS)
    else:
        SHORT[arguments.what](arguments.studies)


if __name__ == "__main__":
    main()
