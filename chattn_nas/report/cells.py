"""Tables of the report: every cell has a text to show and a value to sort by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from chattn_nas.results import words


@dataclass(frozen=True)
class Cell:
    """A text to show and a number or text to sort by; ``tone`` is a CSS class."""

    shown: Any
    sorting: Any = ""
    tone: str = ""


@dataclass(frozen=True)
class Column:
    """A heading; ``hint`` explains it; ``wide`` columns are left out on a phone; ``number`` aligns right."""

    title: str
    hint: str = ""
    wide: bool = False
    number: bool = False


@dataclass(frozen=True)
class ReportTable:
    """Columns and rows; a row's class marks the recommended network."""

    columns: Sequence[Column]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def chip(name: str, text: str, colours: Mapping[str, str]) -> Markup:
    """An attention as a coloured chip."""
    kind = " empty" if name == "none" else ""
    return Markup('<span class="chip{}" style="--chip:{}">{}</span>').format(
        Markup(kind), Markup(colours.get(name, "var(--c8)")), text
    )


def number(value: float | None, shown: str, tone: str = "") -> Cell:
    """A number, sorted by ``value`` and shown as text; missing ones come last."""
    if value is None or words.missing(value):
        return Cell(shown, "", tone)
    return Cell(shown, value if isinstance(value, int) else float(f"{value:.8g}"), tone)


def bar(low: float, mean: float, high: float, reach: tuple[float, float], zero: float | None = None) -> Markup:
    """An interval as a small picture on a common scale."""
    width, span = 140.0, max(reach[1] - reach[0], 1e-9)

    def x(value: float) -> float:
        return 4 + (width - 8) * (value - reach[0]) / span

    mark = f'<line class="zero" x1="{x(zero):.1f}" x2="{x(zero):.1f}" y1="0" y2="16"/>' if zero is not None else ""
    return Markup(
        f'<svg class="bar" viewBox="0 0 {width:.0f} 16" width="{width:.0f}" height="16" aria-hidden="true">{mark}'
        f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="8" y2="8"/><circle cx="{x(mean):.1f}" cy="8" r="4"/></svg>'
    )


def pooled(mean: float, sd: float | None) -> Cell:
    """Posterior mean and standard deviation."""
    spread = "" if words.missing(sd) else f"\N{PLUS-MINUS SIGN} {words.accuracy(sd)}"
    return number(mean, Markup("{}<small>{}</small>").format(words.accuracy(mean), spread))


def over_seeds(mean: float, se: float | None) -> Cell:
    """Mean over seeds and standard error."""
    spread = "one seed" if words.missing(se) else f"se {words.accuracy(se)}"
    return number(mean, Markup("{}<small>{}</small>").format(words.accuracy(mean), spread))
