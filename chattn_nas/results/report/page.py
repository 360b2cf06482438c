"""The report as one self-contained page that opens from disk, without a network."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import optuna
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from chattn_nas.results.record import NONE
from chattn_nas.results.report import figures, words
from chattn_nas.results.report.facts import Facts, gather
from chattn_nas.results.report.picture import picture
from chattn_nas.results.report.tables import Table, tables


def html(study: optuna.Study) -> str:
    """The whole page as text; about 5 MB, nearly all of it Plotly, which is embedded once."""
    facts = gather(study)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["strong"] = strong
    environment.globals.update(words=words)
    plots = _plots(facts)
    types = [stage["type"] for record in facts.records for stage in record.stages]
    colours = figures.colours(types)
    return environment.from_string(_file("page.html.j2")).render(
        facts=facts,
        tables=tables(facts, colours),
        plots={name: Markup(_json(figure)) for name, figure in plots.items()},
        picture=Markup(_picture(facts, colours)),
        tiles=_tiles(facts),
        style=Markup(_file("style.css")),
        script=Markup(_file("page.js")),
        plotly=Markup(get_plotlyjs().replace("</script", "<\\/script")),
    )


def strong(text: str) -> Markup:
    """Escaped text in which ``**bold**`` and ```code``` are marked up."""
    parts = str(escape(text)).split("**")
    text = "".join(f"<strong>{part}</strong>" if index % 2 else part for index, part in enumerate(parts))
    parts = text.split("`")
    return Markup("".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)))


def _file(name: str) -> str:
    return resources.files("chattn_nas.results.report").joinpath(name).read_text(encoding="utf-8")


def _json(figure: figures.Figure) -> str:
    """JSON that can stand inside a script element."""
    return json.dumps(figure).replace("</", "<\\/").replace("NaN", "null")


def _plots(facts: Facts) -> dict[str, figures.Figure]:
    plots: dict[str, figures.Figure] = {}
    if any(not pick.control for pick in facts.standing.picks):
        for cost in ("parameters", "macs", "latency"):
            if facts.board[cost].notna().any():
                plots[f"pareto-{cost}"] = figures.pareto(facts.board, facts.standing, cost)
        plots["rungs"] = figures.rungs(facts.rungs, facts.standing.best().hash)
        plots["progress"] = figures.progress(facts.study)
    if len(facts.effects):
        plots["effects"] = figures.effects(facts.effects)
    if len(facts.outcomes):
        plots["outcomes"] = figures.outcomes(facts.outcomes)
    return plots


def _picture(facts: Facts, colours: dict[str, str]) -> str:
    if not any(not pick.control for pick in facts.standing.picks):
        return ""
    return picture(
        facts.standing.best().choices,
        facts.study.user_attrs.get("stages", []),
        backbone=facts.spec.get("backbone", {}).get("model", "backbone"),
        colours=colours,
    )


def _tiles(facts: Facts) -> list[dict[str, Any]]:
    """The four figures on top."""
    standing = facts.standing
    if not any(not pick.control for pick in standing.picks):
        return []
    best = standing.best()
    interval = (
        f"\N{PLUS-MINUS SIGN} {words.accuracy(best.sd)} posterior sd" if best.sd is not None else "mean over its seeds"
    )
    tiles = [{"title": "accuracy", "value": words.accuracy(best.value("pooled")), "unit": "%", "under": interval}]
    for title, rival in (("over the best uniform", standing.best_uniform()), ("over no attention", standing.none())):
        if rival is None or rival.hash == best.hash:
            under = "it is this one" if rival is not None else "not trained"
            tiles.append({"title": title, "value": words.NOT_THERE, "unit": "", "under": under})
            continue
        margin = standing.margin(best, rival)
        mean = margin.mean if margin else best.mean - rival.mean
        under = f"95 %: {words.interval(margin.low, margin.high)}" if margin else "too few trials for an interval"
        tiles.append({"title": title, "value": words.signed(mean), "unit": "points", "under": under})
    under = f"{words.count(best.costs['parameters'])}; MACs {words.multiple(best.relative.get('macs'))}"
    if best.label == NONE:
        under = f"{words.count(best.costs['parameters'])} parameters"
    tiles.append(
        {"title": "parameters", "value": words.multiple(best.relative.get("parameters")), "unit": "", "under": under}
    )
    return tiles


__all__ = ["Table", "html", "strong"]
