"""Formats numbers for readers: percent, signed points, multiples, durations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chattn_nas.plural import plural as plural
from chattn_nas.study.record import CONTROL, NONE, RIVAL, UNIFORM
from chattn_nas.study.short import short_name

if TYPE_CHECKING:
    from chattn_nas.results._best import Margin, Pick

MINUS = "\N{MINUS SIGN}"
NOT_THERE = "\N{EN DASH}"
#: What went wrong with a training, by its outcome.
FAILED = {
    "diverged": "diverged", "out_of_memory": "did not fit into memory", "timed_out": "took too long",
    "crashed": "crashed", "infeasible": "could not be built",
}  # fmt: skip


def missing(value: float | None) -> bool:
    """Whether a number is missing."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def accuracy(value: float | None, digits: int = 2) -> str:
    """``92.13``; the unit is in the heading."""
    return NOT_THERE if missing(value) else f"{value:.{digits}f}"


def searched(pooled: float | None, mean: float | None) -> str:
    """``94.10 % (pooled mean; raw mean 95.00 %)``; the raw mean alone without a model, a dash before any training."""
    if missing(pooled):
        return NOT_THERE if missing(mean) else f"{accuracy(mean)} % (raw mean)"
    return f"{accuracy(pooled)} % (pooled mean{'' if missing(mean) else f'; raw mean {accuracy(mean)} %'})"


def signed(value: float | None, digits: int = 2) -> str:
    """``+0.42`` or, with a real minus, the negative."""
    if value is None or missing(value):
        return NOT_THERE
    rounded = round(value, digits) + 0.0
    return f"{'+' if rounded > 0 else MINUS if rounded < 0 else ''}{abs(rounded):.{digits}f}"


def p_value(p: float) -> str:
    """``p 0.023``; no p-value is 0."""
    return "p below 0.001" if p < 0.001 else f"p {p:.3f}"


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """``-0.11 to +2.62``."""
    return NOT_THERE if missing(low) or missing(high) else f"{signed(low, digits)} to {signed(high, digits)}"


def margin(value: Margin | None) -> str:
    """``+1.25 [-0.11 to +2.62]``."""
    return NOT_THERE if value is None else f"{signed(value.mean)} [{interval(value.low, value.high)}]"


def count(value: float | None) -> str:
    """``78,042`` or ``12.5 M``."""
    if value is None or missing(value):
        return NOT_THERE
    for limit, letter in ((1e9, "G"), (1e6, "M")):
        if value >= limit:
            return f"{value / limit:.2f} {letter}"
    return f"{value:,.0f}"


def multiple(value: float | None) -> str:
    """``1.012x`` with a real multiplication sign."""
    return NOT_THERE if missing(value) else f"{value:.3f}\N{MULTIPLICATION SIGN}"


def share(value: float | None) -> str:
    """``12 %``."""
    return NOT_THERE if value is None or missing(value) else f"{100 * value:.0f} %"


def duration(seconds: float | None) -> str:
    """``48 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds is None or missing(seconds):
        return NOT_THERE
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def about(seconds: float | None) -> str:
    """A duration that is a guess, in one unit: ``40 s``, ``9 min``, ``3.4 h``, ``2.5 days``."""
    if seconds is None or missing(seconds):
        return NOT_THERE
    for limit, unit, noun in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            value = seconds / unit
            return f"{value:.1f} {noun}" if value < 10 and noun != "s" else f"{max(1, round(value))} {noun}"
    return f"{seconds / 86400:.1f} days"


def name_of(pick: Pick) -> str:
    """The name of an architecture in texts: a control's, one choice for all stages, or all of them."""
    if pick.label and not pick.label.startswith(UNIFORM):
        return called(pick.label)
    return long_form(pick.choices)


def long_form(choices: Sequence[str]) -> str:
    """The network with these choices in words; ``uniform se(reduction=8)`` if all stages are the same."""
    return f"{UNIFORM}{choices[0]}" if len(set(choices)) == 1 < len(choices) else " | ".join(choices)


def short_name_of(pick: Pick) -> str:
    """The name of an architecture where there is little room: a control's name, else the short form of its stages."""
    return called(short_name(pick.label, pick.choices))


def called(label: str) -> str:
    """The name of a baseline in texts; empty for an empty label."""
    names = {NONE: "no attention", CONTROL: "the random-gate control", RIVAL: "the learned channel scale"}
    return names.get(label, label)
