"""Commands that read a run: ``trials``, ``leaderboard``, ``effects``, ``report``, ``dashboard``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chattn_nas.cli import _columns
from chattn_nas.cli._app import (
    AsJson,
    RunPath,
    Wide,
    command,
    completed_runs,
    moving,
    open_run,
    print_json,
    print_legend,
    print_table,
    say,
)
from chattn_nas.errors import InputError
from chattn_nas.plural import plural

if TYPE_CHECKING:
    import pandas as pd

if TYPE_CHECKING:  # it loads torch
    from chattn_nas.api import Run

Csv = Annotated[Path | None, typer.Option(help="Write the whole table to this file.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Let the run's spec import modules and name a storage outside its directory.")
]
Where = Annotated[
    str | None, typer.Option(help="Only rows for which this holds, such as 'params<1.02x and architecture~se'.")
]
#: Rows that are printed.
MOST = 200
#: Columns of a table with ``--wide``; all of it is in --csv and --json.
SHOWN = {
    "trials": ("number", "outcome", "architecture", "label", "seed", "metric", "parameters", "parameters_x", "macs",
               "macs_x", "latency", "seconds", "reason"),
    "leaderboard": ("rank", "architecture", "label", "seeds", "pooled", "low", "high", "mean", "se", "single",
                    "parameters", "parameters_x", "macs", "macs_x", "latency"),
    "effects": ("stage", "type", "effect", "low", "high", "trials", "against"),
}  # fmt: skip


@command("Judge", "chattn-nas trials photos --sort accuracy --where 'params<1.02x'")
def trials(
    run: RunPath,
    csv: Csv = None,
    sort: Annotated[str | None, typer.Option(help="Column to sort by, best first; -column reverses it.")] = None,
    where: Where = None,
    as_json: AsJson = False,
    trust: Trust = False,
    wide: Wide = False,
) -> None:
    """List every trial of a run: architecture, accuracy per rung, costs, outcome."""

    opened = _opened(run, trust)
    _give("trials", opened.trials(sort=sort, where=where), opened, csv, as_json, wide)


@command("Judge", "chattn-nas leaderboard photos --by mean")
def leaderboard(
    run: RunPath,
    by: Annotated[str, typer.Option(help="pooled, mean or single.")] = "pooled",
    where: Where = None,
    csv: Csv = None,
    as_json: AsJson = False,
    trust: Trust = False,
    wide: Wide = False,
) -> None:
    """List every architecture of a run that was trained to the end, best first."""
    from chattn_nas import results

    opened = _opened(run, trust)
    _give("leaderboard", results.select(opened.leaderboard(by), where), opened, csv, as_json, wide)


@command("Judge", "chattn-nas effects photos --csv effects.csv")
def effects(run: RunPath, csv: Csv = None, as_json: AsJson = False, trust: Trust = False, wide: Wide = False) -> None:
    """Show what every attention adds in every stage, in points with 95 % intervals, from the pooled model."""
    from chattn_nas import results

    opened = _opened(run, trust)
    _give("effects", results.stages(opened.study), opened, csv, as_json, wide)


@command("Judge", "chattn-nas report photos --format md")
def report(
    run: RunPath,
    format: Annotated[str, typer.Option(help="html, or md, for a pull request.")] = "html",
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Write the report: what won, by how much, at what cost, and how sure that is."""
    opened = _opened(run, trust)
    with moving("Loading what draws it", line=False):
        from chattn_nas.report import write_report
        from chattn_nas.report.facts import gather
        from chattn_nas.report.summary import summary

    with suppress(OSError):  # a run that can only be read
        opened.write_trials()
    facts = gather(opened.study, opened.directory)
    path = write_report(opened.directory, opened.study, format, facts)
    lines = summary(facts)
    if as_json:
        print_json({"report": str(path), "summary": lines})
    for line in (*lines, f"Report: {path}"):
        say(line)


@command("Judge", "chattn-nas compare resnet18 resnet50 --out compare.html")
def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Two runs or more.", autocompletion=completed_runs)
    ],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("compare.html"),
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Compare runs on one page: other backbones, budgets or recipes."""
    if len(runs) < 2:
        raise InputError("compare needs two runs or more")
    with moving("Loading what draws it", line=False):
        from chattn_nas.report.compare import caution, compare_html, compare_runs, differing, score_column
        from chattn_nas.results import words

    lines = compare_runs([_opened(run, trust).study for run in runs], [str(run) for run in runs])
    out.write_text(compare_html(lines), encoding="utf-8")
    if as_json:
        changed = differing(lines)
        print_json({"runs": [line.to_dict() for line in lines], "settings": changed, "page": str(out)})
        return
    print_table(
        [
            {
                "run": line.name,
                "first": line.network,
                score_column(lines): words.accuracy(line.score),
                "over none": words.margin(line.none),
                "params": words.multiple(line.parameters),
                "status": line.status,
            }
            for line in lines
        ]
    )
    print_legend((choice for line in lines for choice in line.choices), wide=False)
    for key, values in differing(lines).items():
        say(f"{key}: {' | '.join(values)}")
    say(caution(lines))
    say(f"Page: {out}")


@command("Search", "chattn-nas dashboard photos --port 8081")
def dashboard(
    run: RunPath,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 8080,
    trust: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Show a run's trials in the Optuna dashboard; Ctrl-C stops it."""
    from chattn_nas.dashboard import serve
    from chattn_nas.interrupts import at_once

    opened = _opened(run, trust)
    address = f"http://127.0.0.1:{port}"
    say(address)
    if as_json:
        print_json({"address": address})
    at_once()
    serve(opened, port=port)


def _opened(run: Path, trust: bool) -> Run:
    """Open a run that may come from anybody: unless it is trusted, nothing that it names is imported or contacted."""
    opened = open_run(run)
    if trust:
        opened.import_plugins()
    else:
        opened.import_nothing()
        opened.refuse_foreign_storage()
    return opened


def _give(name: str, table: pd.DataFrame, run: Run, csv: Path | None, as_json: bool, wide: bool) -> None:
    """Output a table of a run as a file, as JSON, or as far as it fits a terminal."""
    from chattn_nas.proxy.measurement import outcome_words
    from chattn_nas.results.tables import rows_of
    from chattn_nas.study.metric import unit_of

    if csv:
        table.to_csv(csv, index=False)
    if as_json:
        print(table.to_json(orient="records"))
        return
    if csv:
        say(f"{plural(len(table), 'row')}: {csv}")
        return
    if table.empty:
        say("No effects yet: the pooled model needs more trainings that differ." if name == "effects" else "No rows.")
        return
    whole, last = len(table), name == "trials"
    table = table.tail(MOST) if last else table.head(MOST)
    if wide:
        columns = [table.attrs.get("metric", "accuracy") if column == "metric" else column for column in SHOWN[name]]
        shown = table[[column for column in columns if column in table and table[column].notna().any()]]
        if "outcome" in shown:
            shown = shown.assign(outcome=shown["outcome"].map(outcome_words))
        print_table(rows_of(shown), wide=True)
    else:
        rows, choices, notes = _columns.NARROW[name](table, unit_of(run.study))
        print_table(rows)
        print_legend(choices)
        for note in notes:
            say(note)
    if whole > MOST:
        say(f"The {'last' if last else 'first'} {MOST} of {whole:,}: --csv FILE or --json gives all.")
