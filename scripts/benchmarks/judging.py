"""How far the judging can be trusted: coverage, power and false claims in simulated studies whose truth is known.

    python scripts/benchmarks/judging.py coverage --studies 40     # the pooled model, worlds of worlds.py
    python scripts/benchmarks/judging.py confirm --studies 4000    # families of differences, by kind of noise
    python scripts/benchmarks/judging.py looks --studies 400       # confirm again and again with more seeds
    python scripts/benchmarks/judging.py calibrate --studies 300   # recommended proxies that do not suffice

Each prints a Markdown table; docs/judging.md holds them with date, hardware and versions.
"""

from __future__ import annotations

import argparse

import numpy as np
import worlds

from chattn_nas.judging import comparison
from chattn_nas.judging._confirmation import alpha_of
from chattn_nas.judging.agreement import excess
from chattn_nas.judging.comparison import compare_block

comparison.bootstrap = lambda differences: (None, None)  # stands beside the verdict, and takes nine tenths of the time

#: Standard deviation of one training in the shipped table, points.
NOISE = 0.51
#: Three candidates and the best uniform network against it, none; the sixth network is a control.
PAIRS = [(0, 3), (1, 3), (2, 3), (0, 4), (1, 4), (2, 4), (3, 4)]
KINDS = (
    "normal", "heavy tails", "one scatters 2.5 times as much", "two scatter twice as much", "all scatter differently",
    "collapses", "skewed",
)  # fmt: skip


def coverage(studies: int) -> None:
    """The pooled model in every world."""
    print("| world | networks | pairs | effects | pick - rival | claims | false | regret | of best single |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, world in worlds.WORLDS.items():
        found = worlds.coverage(world, studies)
        shares = " | ".join(f"{100 * found[key]:.0f} %" for key in
                            ("networks", "pairs", "effects", "rival", "claimed", "false"))  # fmt: skip
        print(f"| {name} | {shares} | {found['regret']:.2f} | {found['single']:.2f} |", flush=True)


def noise(kind: str, size: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Noise of (studies, networks, seeds) with the same mean square in every kind but collapses."""
    drawn = rng.standard_normal(size)
    if kind == "heavy tails":
        drawn = rng.standard_t(3, size) / 3**0.5
    elif kind == "skewed":
        drawn = 1 - rng.exponential(1, size)
    elif kind == "collapses":  # one training in twenty ends ten points lower
        drawn = drawn - 20 * (rng.random(size) < 0.05)
    scale = np.ones((1, size[1], 1))
    if kind == "one scatters 2.5 times as much":
        scale[0, 0] = 2.5
    elif kind == "two scatter twice as much":
        scale[0, [0, 3]] = 2.0
    elif kind == "all scatter differently":
        scale = np.exp(rng.normal(0, 0.5, (size[0], size[1], 1)))
    return NOISE * drawn * scale / np.sqrt((scale**2).mean(1, keepdims=True))


def confirm(studies: int) -> None:
    """Family-wise error, power and what is announced of seven differences of six networks, at the first look."""
    heads = ("seeds", "noise", "any false claim", "0.6 shown", "1.2 shown", "a shown 0.6 is announced as", "its mean")
    print(f"| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|---|")
    for seeds in (5, 10):
        for kind in KINDS:
            rng = np.random.default_rng([seeds, KINDS.index(kind)])
            runs = noise(kind, (studies, 6, seeds), rng)
            false = np.mean([any(c.judgement != "no difference shown" for c in judged(one)) for one in runs])
            found = {}
            for lift in (0.6, 1.2):
                lifted = runs[: studies // 4].copy()
                lifted[:, 0] += lift
                first = [judged(one)[0] for one in lifted]
                found[lift] = [one for one in first if one.judgement == "better"], len(first)
            shown, count = found[0.6]
            larger, all_ = found[1.2]
            announced = np.mean([one.size for one in shown]) if shown else np.nan
            plain = np.mean([one.mean for one in shown]) if shown else np.nan
            cells = (
                f"{100 * false:.1f} %", f"{100 * len(shown) / count:.0f} %", f"{100 * len(larger) / all_:.0f} %",
                f"{announced:.2f}", f"{plain:.2f}",
            )  # fmt: skip
            print(f"| {seeds} | {kind} | {' | '.join(cells)} |", flush=True)


def judged(runs: np.ndarray) -> list:
    """The family at its first look."""
    return compare_block(runs, PAIRS, alpha=alpha_of(1))


def looks(studies: int, most: int = 20) -> None:
    """False claims of ``better`` where a confirmation is repeated with one seed more until something is shown."""
    rng = np.random.default_rng(1)
    print("| looks | any false claim |")
    print("|---|---|")
    first = []
    for _ in range(studies):
        runs = NOISE * rng.standard_normal((6, 4 + most))
        first.append(next((look for look in range(1, most + 1) if any(
            one.judgement == "better" for one in compare_block(runs[:, : 4 + look], PAIRS, alpha=alpha_of(look))
        )), most + 1))  # fmt: skip
    for look in (1, 2, 5, 10, most):
        print(f"| {look} | {100 * np.mean(np.array(first) <= look):.1f} % |", flush=True)


def calibrate(studies: int) -> None:
    """How often a proxy is recommended that ranks below, at and above 80 % of the ceiling; two full trainings each."""
    print("| architectures | proxy's tau over the ceiling | recommended |")
    print("|---|---|---|")
    for count in (16, 32):
        for spread in (1.5, 0.75, 0.1):
            rng = np.random.default_rng([count, int(100 * spread)])
            shown, taus = [], []
            for _ in range(studies):
                truth = rng.standard_normal(count)
                full = [list(truth + 0.4 * rng.standard_normal(count)) for _ in range(2)]
                proxy = list(truth + spread * rng.standard_normal(count))
                above = excess([(proxy, one) for one in full], [(full[0], full[1])], 0.8)
                shown.append(above.low > 0)
                taus.append(above.mean)
            ratio = _tau(spread) / _tau(0.4)
            print(f"| {count} | {ratio:.2f} | {100 * np.mean(shown):.0f} % |", flush=True)


def _tau(spread: float) -> float:
    """Kendall's tau of scores with this noise and full trainings with a noise of 0.4 (Kruskal 1958)."""
    return float(2 / np.pi * np.arcsin(1 / np.sqrt((1 + spread**2) * (1 + 0.4**2))))


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("coverage", "confirm", "looks", "calibrate"))
    parser.add_argument("--studies", type=int, default=40)
    arguments = parser.parse_args()
    {"coverage": coverage, "confirm": confirm, "looks": looks, "calibrate": calibrate}[arguments.what](
        arguments.studies
    )


if __name__ == "__main__":
    main()
