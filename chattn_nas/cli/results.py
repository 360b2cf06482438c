"""Commands that read a run: ``trials``, ``leaderboard``, ``effects``, ``report``, ``dashboard``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chattn_nas.cli._app import AsJson, RunPath, app, console, print_table

if TYPE_CHECKING:
    import pandas as pd

if TYPE_CHECKING:  # it loads torch
    from chattn_nas.api import Run

Csv = Annotated[Path | None, typer.Option(help="Write the whole table to this file.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Let the run's spec import modules and name a storage outside its directory.")
]
Where = Annotated[str | None, typer.Option(help="Only rows for which this holds, as 'params<1.02x and type~se'.")]
#: What of a table fits a terminal; all of it is in --csv and --json.
SHOWN = {
    "trials": ("number", "outcome", "architecture", "seed", "metric", "parameters_x", "macs_x", "seconds", "reason"),
    "leaderboard": ("rank", "architecture", "seeds", "pooled", "low", "high", "mean", "se", "single",
                    "parameters_x", "macs_x"),
    "effects": ("stage", "type", "effect", "low", "high", "trials", "against"),
}  # fmt: skip


@app.command()
def trials(
    run: RunPath,
    csv: Csv = None,
    sort: Annotated[str | None, typer.Option(help="Column to sort by, best first; -column turns it round.")] = None,
    where: Where = None,
    as_json: AsJson = False,
    trust: Trust = False,
) -> None:
    """Every trial of a run: architecture, accuracy per rung, costs, outcome."""

    _give("trials", _opened(run, trust).trials(sort=sort, where=where), csv, as_json)


@app.command()
def leaderboard(
    run: RunPath,
    by: Annotated[str, typer.Option(help="pooled, mean or single.")] = "pooled",
    where: Where = None,
    csv: Csv = None,
    as_json: AsJson = False,
    trust: Trust = False,
) -> None:
    """Every architecture of a run that was trained to the end, best first."""
    from chattn_nas import results

    _give("leaderboard", results.select(_opened(run, trust).leaderboard(by), where), csv, as_json)


@app.command()
def effects(run: RunPath, csv: Csv = None, as_json: AsJson = False, trust: Trust = False) -> None:
    """What every attention adds in every stage, in points with 95 % intervals, from the pooled model."""
    from chattn_nas import results

    _give("effects", results.stages(_opened(run, trust).study), csv, as_json)


@app.command()
def report(
    run: RunPath,
    format: Annotated[str, typer.Option(help="html, or md: the same for a pull request.")] = "html",
    trust: Trust = False,
) -> None:
    """Write the report: what won, by how much, at what cost, and how sure that is."""
    from chattn_nas.report import write_report

    opened = _opened(run, trust)
    opened.write_trials()
    path = write_report(opened.directory, opened.study, format)
    console.print(f"Report: {path}", soft_wrap=True, highlight=False)


@app.command()
def dashboard(
    run: RunPath,
    port: Annotated[int, typer.Option(min=1, max=65535, help="On 127.0.0.1.")] = 8080,
    trust: Trust = False,
) -> None:
    """Show a run's trials in the Optuna dashboard; Ctrl-C ends it."""
    from chattn_nas.dashboard import serve

    console.print(f"http://127.0.0.1:{port}", highlight=False)
    serve(_opened(run, trust), port=port)


def _opened(run: Path, trust: bool) -> Run:
    """A run that may have come from anywhere: what it names is neither imported nor reached, unless it is trusted."""
    from chattn_nas import api

    opened = api.Run(run)
    if trust:
        opened.import_plugins()
    else:
        opened.refuse_foreign_storage()
    return opened


def _give(name: str, table: pd.DataFrame, csv: Path | None, as_json: bool) -> None:
    """A table as a file, as JSON, or as what of it fits a terminal."""
    if csv:
        table.to_csv(csv, index=False)
    if as_json:
        print(table.to_json(orient="records"))
    elif csv:
        console.print(f"{len(table)} rows: {csv}", soft_wrap=True, highlight=False)
    elif table.empty and name == "effects":
        console.print("No effects yet: the pooled model needs more trainings that differ.", soft_wrap=True)
    else:
        if "label" in table:
            table["architecture"] = table["architecture"].where(table["label"] == "", table["label"])
        columns = [table.attrs.get("metric", "accuracy") if column == "metric" else column for column in SHOWN[name]]
        shown = table[[column for column in columns if column in table and table[column].notna().any()]]
        print_table([{str(key): value for key, value in row.items()} for row in shown.to_dict("records")])
