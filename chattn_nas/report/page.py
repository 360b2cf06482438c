"""The report as one self-contained page that opens from disk, without network access."""

from __future__ import annotations

import base64
import json
import math
import re
from importlib import resources
from pathlib import Path
from typing import Any

import optuna
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from chattn_nas.arguments import checked
from chattn_nas.report import figures, progress_figures
from chattn_nas.report.classes import confusion
from chattn_nas.report.facts import RunFacts, gather
from chattn_nas.report.gate_figures import gate_figures
from chattn_nas.report.picture import picture_of
from chattn_nas.report.predictions import read_predictions
from chattn_nas.report.summary import next_steps, summary
from chattn_nas.report.tables import tables
from chattn_nas.report.thinning import POINTS
from chattn_nas.report.tiles import tiles
from chattn_nas.results import words
from chattn_nas.results.tables import COSTS
from chattn_nas.study import short as short_forms
from chattn_nas.study.metric import floor_of, named, unit_of

#: plotly.js 4.1.1 (MIT, Plotly, Inc.) with the kinds of plots that we draw, gzip: the page unpacks it itself.
PLOTLY_FILE = "plotly-cartesian.min.js.gz"
#: Stands in the page until all else is written.
PLOTLY = "/* plotly.js */"


@checked
def html(study: optuna.Study, contact_sheet: Path | None = None, predictions: Path | None = None) -> str:
    """Write the whole page; it is below 1.5 MB, most of which is Plotly, embedded once and compressed.

    Args:
        study: Study of the run.
        contact_sheet: A JPEG file of training images as they reach the network; left out if it does not exist.
        predictions: The file that :func:`.write_predictions` wrote.
    """
    return page(gather(study), contact_sheet, predictions)


def page(facts: RunFacts, contact_sheet: Path | None = None, predictions: Path | None = None) -> str:
    """Like :func:`html`, for a study that was read already."""
    plots = _plots(facts)
    types = [stage["type"] for record in facts.records for stage in record.stages]
    colours = figures.colours(types)
    plotly = base64.b64encode(resources.files("chattn_nas.report").joinpath(PLOTLY_FILE).read_bytes()).decode()
    text = rendered(
        "page.html.j2",
        facts=facts,
        tables=tables(facts, colours),
        plots={name: Markup(_json(figure)) for name, figure in plots.items()},
        picture=Markup(picture_of(facts.study, facts.lead, colours) if facts.lead else ""),
        tiles=tiles(facts),
        short=short,
        legend=short_forms.explained(short_forms.choices_in(" ; ".join(_sentences(facts)))),
        summary=summary(facts),
        next_steps=next_steps(facts),
        gates=facts.gates,
        sheet=_base64(contact_sheet),
        predictions=read_predictions(predictions, facts.lead.hash) if predictions and facts.lead else [],
        costs=_costs(facts),
        style=Markup(file_text("picture.css") + file_text("style.css")),
        script=Markup(file_text("page.js")),
        plotly=Markup(PLOTLY),
        points=POINTS,
    )
    spec = str(escape(facts.spec_text())) if facts.spec else ""
    return named(text, unit_of(facts.study), [spec] if spec else []).replace(PLOTLY, plotly)


def rendered(name: str, **values: Any) -> str:
    """Fill in a template of this folder, which may use the macro ``table``."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["strong"] = strong
    environment.globals.update(words=words)
    return environment.from_string(file_text("table.html.j2") + file_text(name)).render(**values)


def strong(text: str) -> Markup:
    """Escape a text, and mark up its ``**bold**`` and ```code```."""
    parts = str(escape(text)).split("**")
    text = "".join(f"<strong>{part}</strong>" if index % 2 else part for index, part in enumerate(parts))
    parts = text.split("`")
    return Markup("".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)))


def short(text: str) -> Markup:
    """Like :func:`strong`, with networks in their short form, which no line break splits."""
    forms = sorted({short_forms.short(choice) for choice in short_forms.choices_in(text)}, key=len, reverse=True)
    unbroken = "|".join(re.escape(str(escape(form))) for form in forms if "-" in form and form != short_forms.NOTHING)
    said = str(strong(short_forms.in_short(text)))
    if not unbroken:
        return Markup(said)
    return Markup(re.sub(rf"(?<![\w-])(?:{unbroken})(?![\w-])", r'<span class="name">\g<0></span>', said))


def file_text(name: str) -> str:
    """Read a file of this folder."""
    return resources.files("chattn_nas.report").joinpath(name).read_text(encoding="utf-8")


def _sentences(facts: RunFacts) -> list[str]:
    """All sentences of the verdict."""
    return [facts.verdict.headline, *facts.verdict.sentences, *facts.verdict.details]


def _base64(file: Path | None) -> str:
    return base64.b64encode(file.read_bytes()).decode() if file is not None and file.is_file() else ""


def _json(figure: figures.Figure) -> str:
    """JSON that is safe inside a script element."""
    return json.dumps(_rounded(figure), separators=(",", ":"), allow_nan=False).replace("</", "<\\/")


def _rounded(value: Any) -> Any:
    """Floats to six digits, since no figure shows more; ``None`` for those that JSON lacks."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value


def _plots(facts: RunFacts) -> dict[str, figures.Figure]:
    plots: dict[str, figures.Figure] = {}
    if facts.lead is not None:
        for cost in _costs(facts):
            plots[f"pareto-{cost}"] = figures.pareto(
                facts.board, facts.standing, cost, refused=facts.refused(cost), bound=facts.bound(cost)
            )
        plots["rungs"] = progress_figures.rungs(facts.rungs, facts.lead.hash)
        plots["progress"] = progress_figures.progress(facts.progress)
        if len(facts.efficiency) > 2:
            plots["efficiency"] = progress_figures.efficiency(facts.efficiency)
        low = floor_of(facts.study)
        for figure in plots.values():
            if low is not None and figure["layout"].get("yaxis", {}).get("title", {}).get("text", "").endswith("(%)"):
                _draw_floor(figure, low | {"score": unit_of(facts.study).shown(low["score"])})
    plots |= gate_figures(facts)
    if len(facts.effects):
        plots["effects"] = figures.effects(facts.effects)
    if len(facts.importance):
        plots["importance"] = figures.importance(facts.importance)
    if facts.classes is not None and facts.classes.confusion is not None:
        plots["confusion"] = confusion(facts.classes)
    if len(facts.outcomes):
        plots["outcomes"] = progress_figures.outcomes(facts.outcomes)
    return plots


def _draw_floor(figure: figures.Figure, low: dict[str, Any]) -> None:
    """Draw a line at the score of a network that has learnt nothing, unless it would flatten the figure."""
    height = low["score"]
    heights = [y for trace in figure["data"] for y in trace.get("y") or () if isinstance(y, int | float) and y == y]
    if not heights or height < min(heights) - 2 * (max(heights) - min(heights)):
        return
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": height, "y1": height,
            "line": {"dash": "dot", "width": 1, "color": "@soft"}}  # fmt: skip
    words = {"xref": "paper", "x": 0, "xanchor": "left", "y": height, "yanchor": "bottom", "showarrow": False,
             "text": f"{escape(low['by'])}", "font": {"size": 11}}  # fmt: skip
    for kind, added in (("shapes", line), ("annotations", words)):
        figure["layout"][kind] = [*figure["layout"].get(kind, []), added]


def _costs(facts: RunFacts) -> list[str]:
    """The measured costs, that of the objective first."""
    measured = [cost for cost in COSTS if len(facts.board) and facts.board[cost].notna().any()]
    return sorted(measured, key=lambda cost: cost != facts.cost)
