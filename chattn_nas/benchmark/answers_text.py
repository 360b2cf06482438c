"""The answers of a long table in Markdown, as ``chattn-nas table`` prints them and ``docs/tables.md`` quotes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chattn_nas.benchmark.answers import (
    Effect,
    Interval,
    LongTable,
    Regime,
    foretelling,
    interactions,
    mixing,
    picked,
    stage_effects,
    uniform_effects,
)
from chattn_nas.plural import plural

READING = {"accuracy": "validation accuracy", "loss": "validation loss", "train_loss_sum": "sum of training losses"}


def answers_markdown(table: LongTable) -> str:
    """Write all answers of a long table; points are of test accuracy, intervals 95 % over seeds."""
    return "\n".join(
        [
            *_size(table),
            *_uniform(table),
            *_stages(table),
            *_mixed(table),
            *_picked(table),
            *_added(table),
            *_short(table),
        ]
    )


def _size(table: LongTable) -> Iterator[str]:
    yield (
        f"{len(table.networks)} networks and {plural(len(table.controls), 'control')}, {table.long.epochs} epochs, "
        f"{len(table.seeds)} seeds. Points of test accuracy; 95 % intervals by Student's t over seeds, "
        "so type x seed is counted; those of mixing and tau count that seeds share trainings (Nadeau, Bengio 2003)."
    )


def _uniform(table: LongTable) -> Iterator[str]:
    effects = uniform_effects(table)
    if not effects:
        return
    yield from ("", "### The same attention in every stage, against none", "")
    yield "| type | gain | p | p (Holm) | parameters | MACs |"
    yield "|---|---|---|---|---|---|"
    for one in sorted(effects, key=lambda effect: -effect.gain.mean):
        yield (
            f"| {one.type} | {one.gain} | {one.gain.p:.3f} | {one.holm:.2f} | "
            f"{100 * (one.parameters or 0):+.1f} % | {100 * (one.macs or 0):+.2f} % |"
        )


def _stages(table: LongTable) -> Iterator[str]:
    effects = stage_effects(table)
    if not effects or len(table.crossed) <= len(effects) + 1:
        return  # too few networks to tell one stage from another
    yield from ("", "### One stage at a time, against none there, in the mean over the other stages", "")
    stages = sorted({one.stage or 0 for one in effects})
    yield "| type | " + " | ".join(f"stage {stage}" for stage in stages) + " | smallest p (Holm) |"
    yield "|---|" + "---|" * (len(stages) + 1)
    for name in dict.fromkeys(one.type for one in effects):
        yield _row(name, [one for one in effects if one.type == name])


def _row(name: str, effects: Sequence[Effect]) -> str:
    gains = " | ".join(str(one.gain) for one in sorted(effects, key=lambda one: one.stage or 0))
    return f"| {name} | {gains} | {min(one.holm for one in effects):.2f} |"


def _mixed(table: LongTable) -> Iterator[str]:
    gain = mixing(table)
    if gain is None:
        return
    yield from ("", "### Does mixing pay?", "")
    yield (
        f"The best mixed over the best uniform network of the same types, both chosen by validation accuracy on all "
        f"seeds but one and judged by test accuracy on that one: **{gain.margin}** points. The best of the whole "
        f"table, judged where it was chosen, would claim {gain.lucky:+.2f}. Chosen: "
        + "; ".join(f"{mixed} over {uniform}" for mixed, uniform in dict.fromkeys(gain.chosen))
        + "."
    )


def _picked(table: LongTable) -> Iterator[str]:
    found = picked(table)
    if found is None:
        return
    yield from ("", "### What did those give that something else put first?", "")
    yield (
        f"The mean of {plural(len(found.gains), 'picked network')} over none: **{found.over_none}** points; over the "
        f"mean of the {len(table.networks)} networks above: **{found.over_design}**."
    )
    yield from ("", "| network | gain over none | p (Holm) |", "|---|---|---|")
    for name, gain, corrected in sorted(found.gains, key=lambda one: -one[1].mean):
        yield f"| {name} | {gain} | {corrected:.2f} |"


def _added(table: LongTable) -> Iterator[str]:
    if len(table.seeds) < 2 or len(table.crossed) <= len(stage_effects(table)) + 1:
        return
    analysis = interactions(table)
    yield from ("", "### Do stages interact?", "")
    yield (
        f"What main effects leave of the networks' means, against noise: F({analysis.df[0]},{analysis.df[1]}) = "
        f"{analysis.f:.2f}, p = {analysis.p:.2f}. Standard deviations in points: networks by main effects "
        f"{analysis.additive:.2f} a stage, interactions {analysis.deviation:.2f}, "
        f"type x seed {analysis.type_by_seed:.2f}, one training {analysis.noise:.2f}."
    )


def _short(table: LongTable) -> Iterator[str]:
    rows = foretelling(table)
    if not rows:
        return
    yield from ("", "### Which short training foretells the long one?", "")
    yield (
        "Kendall's tau to the mean test accuracy of the long trainings on the other seeds; the last rows, another "
        "long training read the same way, are the ceiling. Cost in long trainings: epochs x images x MACs."
    )
    yield from ("", "| training | cost | read by | tau | seeds |", "|---|---:|---|---|---:|")
    for row in rows:
        training = ", ".join(told(row.regime, table.long))
        yield f"| {training} | {row.cost:.2f} | {READING[row.reading]} | {_tau(row.tau)} | {row.tau.seeds} |"


def told(regime: Regime, long: Regime) -> list[str]:
    """What tells a regime of training: its epochs, and what else is not as in the long one."""
    images = [f"{regime.images:,} images"] if regime.images != long.images else []
    width = [f"width {regime.width}"] if regime.width != long.width else []
    return [plural(regime.epochs, "epoch"), *images, *width]


def _tau(tau: Interval) -> str:
    """Write Kendall's tau, with its interval from three seeds up: an interval from two says nothing."""
    return f"{tau.mean:.2f}" if tau.seeds < 3 else f"{tau.mean:.2f} [{tau.low:.2f}, {tau.high:.2f}]"
