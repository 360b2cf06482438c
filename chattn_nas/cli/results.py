"""Commands that read a run: ``trials``, ``report``, ``dashboard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chattn_nas.cli.app import AsJson, RunPath, app, console, print_table


@app.command()
def trials(
    run: RunPath,
    csv: Annotated[Path | None, typer.Option(help="Write the whole table to this file.")] = None,
    sort: Annotated[str | None, typer.Option(help="Column to sort by, best first.")] = None,
    where: Annotated[str | None, typer.Option(help="Only trials for which this holds, as 'parameters<1.02x'.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every trial of a run: architecture, accuracy per rung, costs, outcome."""
    from chattn_nas import api

    table = api.Run(run).trials(sort=sort, where=where)
    if csv:
        table.to_csv(csv, index=False)
        console.print(f"{len(table)} trials: {csv}")
    elif as_json:
        print(table.to_json(orient="records"))
    else:
        print_table([{str(key): value for key, value in row.items()} for row in table.to_dict("records")])


@app.command()
def report(run: RunPath) -> None:
    """Write the report: what won, by how much, at what cost, and how sure that is."""
    from chattn_nas import api, results

    opened = api.Run(run)
    opened.write_trials()
    console.print(f"Report: {results.write_report(opened.directory, opened.study)}", soft_wrap=True, highlight=False)


@app.command()
def dashboard(
    run: RunPath,
    port: Annotated[int, typer.Option(min=1, max=65535, help="On 127.0.0.1.")] = 8080,
) -> None:
    """Show a run's trials in the Optuna dashboard; Ctrl-C ends it."""
    from chattn_nas import api, results

    results.serve(api.Run(run), port=port)
