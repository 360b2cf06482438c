"""The columns of a run's tables that fit 80 characters: short forms of networks, numbers with units."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from chattn_nas.unit import Unit

Rows = list[dict[str, Any]]
#: Rows of text, the choices (in words) that appear in them in short form, and further remarks.
Narrow = tuple[Rows, list[str], list[str]]
#: Longest network name, in characters; longer ones are cut.
NETWORK = 32
UNITS = "params and MACs as multiples of the backbone without attention"


def trials(table: pd.DataFrame, unit: Unit) -> Narrow:
    """Outcome, network, seed, score, parameters, time."""
    from chattn_nas.proxy.measurement import outcome_words
    from chattn_nas.results import words
    from chattn_nas.results.tables import rows_of

    latency = table["latency"].notna().any() if "latency" in table else False
    rows: Rows = []
    why: dict[tuple[str, str], list[int]] = {}
    for row in rows_of(table):
        cells = {
            "#": row["number"],
            "outcome": outcome_words(row["outcome"]),
            "network": _network(row),
            "seed": _whole(row["seed"]),
            f"score {unit.unit}".rstrip(): words.accuracy(row[unit.name]),
            "params": words.multiple(row["parameters_x"]),
        }
        cells["latency ms" if latency else "MACs"] = (
            _number(row["latency"], 1e3) if latency else words.multiple(row["macs_x"])
        )
        rows.append(cells | {"time": words.duration(row["seconds"])})
        if row["reason"] and row["outcome"] not in ("complete", "pruned"):
            why.setdefault((row["outcome"], row["reason"]), []).append(row["number"])
    reasons = [f"{outcome_words(outcome)} ({_listed(numbers)}): {reason}" for (outcome, reason), numbers in why.items()]
    return (
        rows,
        _choices(table),
        [
            f"score: {unit.title}; {UNITS}.",
            *reasons[:5],
            *([f"and {len(reasons) - 5} more reasons"] * (len(reasons) > 5)),
        ],
    )


def leaderboard(table: pd.DataFrame, unit: Unit) -> Narrow:
    """Rank, network, pooled score with its interval, mean over seeds, parameters."""
    from chattn_nas.results import words
    from chattn_nas.results.tables import rows_of

    rows = [
        {
            "#": row["rank"],
            "network": _network(row),
            f"pooled {unit.unit}".rstrip(): words.accuracy(row["pooled"]),
            "95 %": words.NOT_THERE if words.missing(row["low"]) else unit.reach(row["low"], row["high"]),
            f"mean {unit.unit}".rstrip(): words.accuracy(row["mean"]),
            "seeds": row["seeds"],
            "params": words.multiple(row["parameters_x"]),
        }
        for row in rows_of(table)
    ]
    return (
        rows,
        _choices(table),
        [f"score: {unit.title}; {UNITS}. Pooled: the mean of the model over all trials; mean: over own seeds."],
    )


def effects(table: pd.DataFrame, unit: Unit) -> Narrow:
    """Stage, type, effect with its interval."""
    from chattn_nas.results import words
    from chattn_nas.results.tables import rows_of

    rows = [
        {
            "stage": row["stage"],
            "attention": row["type"],
            f"effect ({unit.difference})": words.signed(row["effect"]),
            "95 %": words.interval(row["low"], row["high"]),
            "trainings": row["trials"],
            "against": row["against"],
        }
        for row in rows_of(table)
    ]
    return rows, [], []


NARROW: dict[str, Callable[[pd.DataFrame, Unit], Narrow]] = {
    "trials": trials, "leaderboard": leaderboard, "effects": effects,
}  # fmt: skip


def _network(row: dict[str, Any]) -> str:
    from chattn_nas.study.short import short_name

    text = short_name(row["label"], row["architecture"].split(" | ") if row["architecture"] else ())
    return text if len(text) <= NETWORK else f"{text[: NETWORK - 3]}..."


def _choices(table: pd.DataFrame) -> list[str]:
    return sorted({choice for text in table["architecture"] if text for choice in text.split(" | ")})


def _number(value: float | None, scale: float = 1.0) -> str:
    from chattn_nas.results import words

    return words.NOT_THERE if value is None or words.missing(value) else f"{scale * value:.3g}"


def _whole(value: float | None) -> str:
    from chattn_nas.results import words

    return words.NOT_THERE if value is None or words.missing(value) else str(int(value))


def _listed(numbers: Iterable[int]) -> str:
    listed = [str(number) for number in numbers]
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} more" if len(listed) > 4 else "")
