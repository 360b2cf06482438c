"""What short trainings foretell, against what they cost, as an SVG picture."""

from __future__ import annotations

import math

from chattn_nas.arguments import checked
from chattn_nas.benchmark.answers import READINGS, Foretelling, LongTable, foretelling
from chattn_nas.benchmark.answers_text import READING, told
from chattn_nas.report.palette import LIGHT

#: Size of the picture, and of the frame in it, in pixels.
SIZE, FRAME = (640, 372), (58, 16, 560, 270)
COLOURS = dict(zip(READINGS, ("c1", "c3", "c6"), strict=True))


@checked
def foretelling_svg(table: LongTable) -> str:
    """Kendall's tau by cost, with 95 % intervals where there are three seeds; a dashed line at the ceiling."""
    rows = foretelling(table)
    left, top, width, height = FRAME
    ends = [end for one in rows for end in (_low(one), _high(one))]
    low, high = min(0.0, *ends), max(0.5, *ends)
    cheapest = math.log(min(one.cost for one in rows) / 1.3)

    def across(cost: float) -> float:
        return left + width * (math.log(cost) - cheapest) / (math.log(1.3) - cheapest)

    def down(tau: float) -> float:
        return top + height * (high - tau) / (high - low)

    parts = [
        f'<path d="M{left} {down(level / 10):.1f}h{width}" stroke="{LIGHT["grid"]}"/>'
        f'<text x="{left - 8}" y="{down(level / 10) + 4:.1f}" text-anchor="end">{level / 10:.1f}</text>'
        for level in range(math.ceil(10 * low), math.floor(10 * high) + 1)
    ]
    ceiling = max(one.tau.mean for one in rows if one.regime == table.long)
    parts.append(f'<path d="M{left} {down(ceiling):.1f}h{width}" stroke="{LIGHT["soft"]}" stroke-dasharray="5 4"/>')
    for regime, cost in dict.fromkeys((one.regime, one.cost) for one in rows):
        for line, words in enumerate((str(regime.epochs), *told(regime, table.long)[1:])):
            y = top + height + 18 + 13 * line
            parts.append(f'<text x="{across(cost):.1f}" y="{y}" text-anchor="middle">{words}</text>')
    for one in rows:
        x = across(one.cost) + 9 * (READINGS.index(one.reading) - 1)
        colour = LIGHT[COLOURS[one.reading]]
        parts.append(
            f'<path d="M{x:.1f} {down(_low(one)):.1f}V{down(_high(one)):.1f}" stroke="{colour}" stroke-width="2"/>'
            f'<circle cx="{x:.1f}" cy="{down(one.tau.mean):.1f}" r="4.5" fill="{colour}"/>'
        )
    parts.append(
        f'<text x="{left + width / 2}" y="{top + height + 50}" text-anchor="middle">epochs, by cost (log scale); '
        f"Kendall's tau to long trainings, dashed: the best reading of another long one</text>"
    )
    for place, reading in enumerate(READINGS):
        x = left + 30 + 180 * place
        parts.append(
            f'<circle cx="{x}" cy="{SIZE[1] - 14}" r="4.5" fill="{LIGHT[COLOURS[reading]]}"/>'
            f'<text x="{x + 10}" y="{SIZE[1] - 10}">{READING[reading]}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE[0]} {SIZE[1]}" width="{SIZE[0]}" '
        f'height="{SIZE[1]}" font-family="sans-serif" font-size="12" fill="{LIGHT["ink"]}">'
        f'<rect width="{SIZE[0]}" height="{SIZE[1]}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _low(one: Foretelling) -> float:
    return one.tau.low if one.tau.seeds > 2 else one.tau.mean


def _high(one: Foretelling) -> float:
    return one.tau.high if one.tau.seeds > 2 else one.tau.mean
