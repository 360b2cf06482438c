"""Serves the Optuna dashboard for a run, with what its own pages lack: constraints, seeds and stages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.exceptions import StorageInternalError

from chattn_nas.arguments import checked
from chattn_nas.dashboard import _dashboard
from chattn_nas.errors import InputError
from chattn_nas.report import figures
from chattn_nas.report.facts import gather
from chattn_nas.report.palette import LIGHT, painted
from chattn_nas.results import words
from chattn_nas.results.tables import rows_of
from chattn_nas.study.artifacts import FOLDER
from chattn_nas.study.metric import named, unit_of
from chattn_nas.study.short import short_name
from chattn_nas.study.storage import explained
from chattn_nas.study.texts import NOTE, as_markdown
from chattn_nas.unit import Unit

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
#: What a page of the dashboard may load, and from where.
POLICY = (
    "default-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:"
)


#: The dashboard puts panels beside each other however narrow the window is; on a phone one below the other.
PHONE = (
    "<style>@media (max-width: 600px) { main { min-width: 0; } "
    "[class*=MuiGrid-grid-xs-] { flex-basis: 100% !important; max-width: 100% !important; } }</style>"
)


class HasStudy(Protocol):
    """The part of a run that the dashboard needs."""

    directory: Path

    @property
    def study(self) -> optuna.Study:
        """The study."""


@checked
def annotate(study: optuna.Study) -> list[str]:
    """Write the verdict as the study's note, and our plots as its graph objects.

    The plots replace those of an earlier call. They are the constrained Pareto plot (the dashboard's own badges count
    infeasible trials too), the leaderboard by architecture, and the effects per stage.

    Returns:
        The identifiers of the graph objects.
    """
    facts = gather(study)
    verdict, unit = facts.verdict, unit_of(study)
    said, headline = named(" ".join(verdict.sentences), unit), named(verdict.headline, unit)
    sentences = "**".join(as_markdown(part, NOTE) for part in said.split("**"))
    _dashboard.set_note(study, f"# {as_markdown(headline)} ({as_markdown(verdict.status)})\n\n{sentences}")
    made: dict[str, figures.Figure] = {}
    if any(not pick.control for pick in facts.standing.picks):
        made["chattn-pareto"] = _titled(
            figures.pareto(
                facts.board,
                facts.standing,
                facts.cost,
                refused=facts.refused(facts.cost),
                bound=facts.bound(facts.cost),
            ),
            f"Accuracy against {facts.cost},<br>constraints respected",
        )
        chosen = {record.hash: record.choices for record in facts.records}
        made["chattn-leaderboard"] = _leaderboard(rows_of(facts.board.head(25)), chosen)
    if len(facts.effects):
        made["chattn-effects"] = _titled(
            figures.effects(facts.effects),
            "What an attention adds per stage, in points<br>(bold: the interval excludes 0)",
        )
    for name, figure in made.items():
        _dashboard.set_figure(study, painted(_named(figure, unit)), name)
    return list(made)


def _named(value: Any, unit: Unit) -> Any:
    """Turn a figure about accuracy in percent into one about the metric in its unit."""
    if isinstance(value, str):
        return named(value, unit)
    if isinstance(value, list | tuple):
        return [_named(inner, unit) for inner in value]
    if isinstance(value, dict):
        return {key: _named(inner, unit) for key, inner in value.items()}
    return value


def _titled(figure: figures.Figure, title: str) -> figures.Figure:
    layout = figure["layout"]
    margin = {**layout["margin"], "t": layout["margin"]["t"] + 60}
    colours = {"paper_bgcolor": "@surface", "plot_bgcolor": "@surface"}
    below = {"legend": {"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0}}  # a panel is narrow
    titled = {**layout, **colours, **below, "title": {"text": title, "font": {"size": 15}}, "margin": margin}
    return {"data": figure["data"], "layout": titled | {"height": layout["height"] + 60}}


def _leaderboard(rows: list[dict[str, Any]], choices: Mapping[str, Sequence[str]]) -> figures.Figure:
    """The leaderboard with few columns and short names, since a panel is narrow."""
    heads = ("#", "network", "pooled %<br>and 95 %", "seeds", "params")
    columns = [
        [str(row["rank"]) for row in rows],
        [
            words.called(short_name(row["label"], choices[row["hash"]])) for row in rows
        ],
        [
            words.accuracy(row["pooled"])
            + ("" if words.missing(row["low"]) else f"<br>{row['low']:.1f} to {row['high']:.1f}") for row in rows
        ],
        [str(row["seeds"]) for row in rows],
        [words.multiple(row["parameters_x"]) for row in rows],
    ]  # fmt: skip
    trace = {
        "type": "table",
        "columnwidth": [3, 13, 13, 7, 9],
        "header": {"values": list(heads), "align": "left", "fill": {"color": LIGHT["grid"]}},
        "cells": {"values": columns, "align": "left", "fill": {"color": LIGHT["surface"]}, "height": 26},
    }
    margin = {"l": 2, "r": 2, "t": 60, "b": 12}
    title = {"text": "Leaderboard by architecture", "font": {"size": 15}}
    return {
        "data": [trace],
        "layout": {"title": title, "margin": margin, "height": 150 + 44 * len(rows), "font": {"size": 11}},
    }


def serve(run: HasStudy, port: int = 8080) -> None:
    """Annotate the study and serve the Optuna dashboard on this machine only, until interrupted.

    A read-only run is shown without our plots and verdict, which would have to be written into it.

    Raises:
        InputError: The port cannot be taken.
    """
    try:
        annotate(run.study)
    except StorageInternalError as error:
        log.warning("the study cannot be written, so its verdict and our plots are not shown: %s", explained(error))
    artifacts = run.directory / FOLDER
    with suppress(OSError):
        artifacts.mkdir(exist_ok=True)
    try:
        _dashboard.run(guarded(_dashboard.application(run.study, artifacts)), LOOPBACK, port)
    except OSError as error:  # another process listens there, or the port is the system's own
        raise InputError(f"port {port} of {LOOPBACK} cannot be taken: {error.strerror}", value=port) from error


def guarded(application: Callable[..., Any]) -> Callable[..., Any]:
    """Add a content security policy: the dashboard's own scripts run, but nothing in a study's texts does.

    The dashboard inserts notes as raw HTML, also those of a study from somebody else.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Answer as the application does, with the policy; pages fit a phone."""
        pages: list[bool] = []

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            pages.append(any(key.lower() == "content-type" and "text/html" in value for key, value in headers))
            kept = [one for one in headers if not (pages[-1] and one[0].lower() == "content-length")]
            return start_response(status, [*kept, ("Content-Security-Policy", POLICY)], *rest)

        body = application(environ, start)
        return [b"".join(body).replace(b"</head>", f"{PHONE}</head>".encode(), 1)] if any(pages) else body

    return answer
