"""What short trainings and other rules foretell, against what they cost, as an SVG picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from chattn_nas.arguments import checked
from chattn_nas.benchmark.answers import READINGS, Interval, LongTable, foretelling
from chattn_nas.benchmark.answers_text import READING, told
from chattn_nas.report.palette import LIGHT

#: Size of the picture, and of the frame in it, in pixels.
SIZE, FRAME = (640, 372), (58, 16, 560, 270)
#: Pixels between marks of one cost.
APART = 9
COLOURS = {READING[reading]: colour for reading, colour in zip(READINGS, ("c1", "c3", "c6"), strict=True)}


class Mark(NamedTuple):
    """How well one rule foretells.

    Attributes:
        cost: More than 0; marks of one cost stand side by side.
        under: Lines of text under that cost.
        series: What its colour stands for.
        name: Told when the pointer rests on it.
        tau, low, high: Kendall's tau and its interval.
    """

    cost: float
    under: tuple[str, ...]
    series: str
    name: str
    tau: float
    low: float
    high: float


@checked
def foretelling_svg(table: LongTable) -> str:
    """Kendall's tau by cost, with 95 % intervals where there are three seeds; a dashed line at the ceiling."""
    rows = foretelling(table)
    marks = []
    for one in rows:
        epochs, *more = told(one.regime, table.long)
        low, high = limits(one.tau)
        series = READING[one.reading]
        under = (str(one.regime.epochs), *more)
        marks.append(Mark(one.cost, under, series, ", ".join((epochs, *more, series)), one.tau.mean, low, high))
    return marks_svg(
        marks, COLOURS, ceiling=max(one.tau.mean for one in rows if one.regime == table.long),
        caption="epochs, by cost (log scale); Kendall's tau to long trainings, dashed: the best reading of another",
    )  # fmt: skip


def limits(tau: Interval) -> tuple[float, float]:
    """The limits of an interval that are drawn: none from fewer than three seeds."""
    return (tau.low, tau.high) if tau.seeds > 2 else (tau.mean, tau.mean)


def marks_svg(marks: Sequence[Mark], colours: Mapping[str, str], *, ceiling: float, caption: str) -> str:
    """Draw marks by cost on a logarithmic scale.

    Args:
        marks: At least one.
        colours: The colour of the palette for every series, in the order of the legend.
        ceiling: Kendall's tau at the dashed line.
        caption: Under the axis.
    """
    left, top, width, height = FRAME
    low, high = min(0.0, *(one.low for one in marks)), max(0.5, *(one.high for one in marks))
    by_cost: dict[float, list[Mark]] = {}
    for mark in marks:
        by_cost.setdefault(mark.cost, []).append(mark)
    begin, end = math.log(min(by_cost)), math.log(max(by_cost))
    pad = 24 + APART * max(map(len, by_cost.values())) / 2

    def across(cost: float) -> float:
        return left + pad + (width - 2 * pad) * (math.log(cost) - begin) / (end - begin)

    def down(tau: float) -> float:
        return top + height * (high - tau) / (high - low)

    parts = [
        f'<path d="M{left} {down(level / 10):.1f}h{width}" stroke="{LIGHT["grid"]}"/>'
        f'<text x="{left - 8}" y="{down(level / 10) + 4:.1f}" text-anchor="end">{level / 10:.1f}</text>'
        for level in range(math.ceil(10 * low), math.floor(10 * high) + 1)
    ]
    parts.append(f'<path d="M{left} {down(ceiling):.1f}h{width}" stroke="{LIGHT["soft"]}" stroke-dasharray="5 4"/>')
    for cost, here in by_cost.items():
        for line, words in enumerate(here[0].under):
            y = top + height + 18 + 13 * line
            parts.append(f'<text x="{across(cost):.1f}" y="{y}" text-anchor="middle">{escape(words)}</text>')
        for place, one in enumerate(here):
            x, colour = across(cost) + APART * (place - (len(here) - 1) / 2), LIGHT[colours[one.series]]
            parts.append(
                f"<g><title>{escape(one.name)}: {one.tau:.2f}</title>"
                f'<path d="M{x:.1f} {down(one.low):.1f}V{down(one.high):.1f}" stroke="{colour}" stroke-width="2"/>'
                f'<circle cx="{x:.1f}" cy="{down(one.tau):.1f}" r="4.5" fill="{colour}"/></g>'
            )
    parts.append(f'<text x="{left + width / 2}" y="{top + height + 50}" text-anchor="middle">{escape(caption)}</text>')
    for place, (series, colour) in enumerate(colours.items()):
        x = left + 30 + 180 * place
        parts.append(
            f'<circle cx="{x}" cy="{SIZE[1] - 14}" r="4.5" fill="{LIGHT[colour]}"/>'
            f'<text x="{x + 10}" y="{SIZE[1] - 10}">{escape(series)}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE[0]} {SIZE[1]}" width="{SIZE[0]}" '
        f'height="{SIZE[1]}" font-family="sans-serif" font-size="12" fill="{LIGHT["ink"]}">'
        f'<rect width="{SIZE[0]}" height="{SIZE[1]}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )
