"""The report as one self-contained page that opens from disk, without a network."""

from __future__ import annotations

import json
from importlib import resources

import optuna
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from chattn_nas.report import figures, progress_figures
from chattn_nas.report.facts import RunFacts, gather
from chattn_nas.report.picture import picture_of
from chattn_nas.report.tables import tables
from chattn_nas.report.tiles import tiles
from chattn_nas.results import words
from chattn_nas.results.tables import COSTS


def html(study: optuna.Study) -> str:
    """The whole page as text; about 5 MB, nearly all of it Plotly, which is embedded once."""
    facts = gather(study)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["strong"] = strong
    environment.globals.update(words=words)
    plots = _plots(facts)
    types = [stage["type"] for record in facts.records for stage in record.stages]
    colours = figures.colours(types)
    return environment.from_string(file_text("page.html.j2")).render(
        facts=facts,
        tables=tables(facts, colours),
        plots={name: Markup(_json(figure)) for name, figure in plots.items()},
        picture=Markup(picture_of(study, facts.lead, colours) if facts.lead else ""),
        tiles=tiles(facts),
        costs=_costs(facts),
        style=Markup(file_text("picture.css") + file_text("style.css")),
        script=Markup(file_text("page.js")),
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),
    )


def strong(text: str) -> Markup:
    """Escaped text in which ``**bold**`` and ```code``` are marked up."""
    parts = str(escape(text)).split("**")
    text = "".join(f"<strong>{part}</strong>" if index % 2 else part for index, part in enumerate(parts))
    parts = text.split("`")
    return Markup("".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)))


def file_text(name: str) -> str:
    """A file of this folder."""
    return resources.files("chattn_nas.report").joinpath(name).read_text(encoding="utf-8")


def _json(figure: figures.Figure) -> str:
    """JSON that can stand inside a script element."""
    return json.dumps(figure).replace("</", "<\\/").replace("NaN", "null")


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
    if len(facts.effects):
        plots["effects"] = figures.effects(facts.effects)
    if len(facts.importance):
        plots["importance"] = figures.importance(facts.importance)
    if len(facts.outcomes):
        plots["outcomes"] = progress_figures.outcomes(facts.outcomes)
    return plots


def _costs(facts: RunFacts) -> list[str]:
    """The costs that were measured, the objective's first."""
    measured = [cost for cost in COSTS if len(facts.board) and facts.board[cost].notna().any()]
    return sorted(measured, key=lambda cost: cost != facts.cost)
