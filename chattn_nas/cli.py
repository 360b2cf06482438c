"""The console command ``chattn-nas``: each command a few lines over one public function."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from chattn_nas.errors import ChattnError, InputError

app = typer.Typer(
    help="Neural architecture search over channel attention.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()

SpecPath = Annotated[Path, typer.Argument(metavar="SPEC", help="A YAML spec.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory, or its name below runs/.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]


def main() -> None:
    """Run the command line; an error raised on purpose is one line on stderr and its own exit code."""
    try:
        app()
    except ChattnError as error:
        print(f"chattn-nas: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def print_table(rows: list[dict[str, Any]], title: str | None = None) -> None:
    """Print records as a table; the keys of the first one are the columns."""
    table = Table(title=title, title_justify="left")
    for column in rows[0] if rows else ():
        number = isinstance(rows[0][column], int | float)
        table.add_column(str(column), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


@app.command()
def search(
    spec: SpecPath,
    run: Annotated[Path | None, typer.Option(help="Run directory; default: runs/<name> below this folder.")] = None,
    name: Annotated[str | None, typer.Option(help="Another name than the spec's: starts a run of its own.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Finished trials asked for, over the whole run.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Worker processes; 0: train in this process.")] = None,
) -> None:
    """Search; run again to continue to the asked number of trials."""
    from chattn_nas import api
    from chattn_nas.spec import load_spec

    job = load_spec(spec)
    if name:
        job = job.model_copy(update={"name": name})
    found = api.search(job, run=run, trials=trials, workers=workers)
    found.write_trials()
    console.print(f"Best so far: {found.best()}\nRun: {found.directory}", soft_wrap=True, highlight=False)


@app.command()
def space(spec: SpecPath, as_json: AsJson = False) -> None:
    """Size of a spec's space, how much of it is feasible, and what every choice costs in every stage."""
    from chattn_nas.search.feasible import feasible_share
    from chattn_nas.spec import load_spec

    job = load_spec(spec)
    found = job.search_space()
    rows = [
        {"stage": number, "module": stage.name, "choice": str(form), "parameters": cost[0], "MACs": cost[1]}
        for number, (stage, choices) in enumerate(zip(found.stages, found.canonical, strict=True), 1)
        for form in dict.fromkeys(choices.values())
        for cost in (form.cost(stage),)
    ]
    share = feasible_share(job)
    summary = {"size": found.size, "canonical_size": found.canonical_size, "feasible": dataclasses.asdict(share)}
    if as_json:
        print(json.dumps(summary | {"choices": rows}))
        return
    console.print(f"{found.size:,} combinations of settings, {found.canonical_size:,} different networks; {share}")
    print_table(rows, f"What each choice adds to {job.backbone.model}, per sample of {job.data.image_size} px")


@app.command()
def schema() -> None:
    """The JSON Schema of a spec, for editors: chattn-nas schema > schema.json."""
    from chattn_nas.spec import Job

    print(json.dumps(Job.model_json_schema(), indent=2))


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
        print_table(table.to_dict("records"))


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


@app.command()
def export(
    run: RunPath,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    trial: Annotated[str, typer.Option(help="best, or a trial's number.")] = "best",
    by: Annotated[str, typer.Option(help="What best means: pooled, mean or single.")] = "pooled",
    format: Annotated[str, typer.Option(help="Comma-separated: source, safetensors, pt2, onnx, timm.")] = "",
) -> None:
    """Write a network that needs only torch, and prove that it computes the same."""
    from chattn_nas import api
    from chattn_nas.export import DEFAULT_FORMATS

    opened = api.Run(run)
    if trial != "best" and not trial.isdigit():
        raise InputError(f"--trial is 'best' or a number, not {trial!r}")
    chosen = opened.best(by) if trial == "best" else opened.trial(int(trial))
    console.print(f"Exporting {chosen}", soft_wrap=True, highlight=False)
    formats = [name.strip() for name in format.split(",") if name.strip()] or DEFAULT_FORMATS
    written = api.export(chosen, out, formats)
    for check, difference in written.differences.items():
        console.print(f"  {check}: largest difference {difference:.3g}", highlight=False)
    console.print(f"Wrote {', '.join(written.files)} to {written.folder}", soft_wrap=True, highlight=False)


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An exported folder.")],
    data: Annotated[Path, typer.Option(help="A spec, whose data section names the images.")],
    part: Annotated[str, typer.Option(help="validation, or test.")] = "validation",
    as_json: AsJson = False,
) -> None:
    """Score an exported network on a data set."""
    from chattn_nas.data import load_data, load_test
    from chattn_nas.export import evaluate_folder
    from chattn_nas.spec import load_spec

    if part not in ("validation", "test"):
        raise InputError(f"--part cannot be {part!r}", value=part, choices=("validation", "test"))
    settings = load_spec(data).data
    score = evaluate_folder(folder, load_test(settings) if part == "test" else load_data(settings).validation)
    if as_json:
        print(json.dumps(dataclasses.asdict(score)))
    else:
        console.print(
            f"{part}: {100 * score.accuracy:.2f} % of {score.images:,} images, cross-entropy {score.loss:.4f}"
        )


@app.command()
def bench(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An exported folder.")],
    batch_size: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Latency of an exported network against the same backbone without attention, measured in turns."""
    from chattn_nas.export import bench_folder

    found = bench_folder(folder, batch_size=batch_size, device=device)
    if as_json:
        print(json.dumps(dataclasses.asdict(found) | {"relative": found.relative}))
        return
    print_table(
        [
            {"network": name, "ms per batch": 1e3 * seconds, "relative": seconds / found.reference}
            for name, seconds in (
                ("without attention", found.reference),
                ("as exported", found.network),
                (f"with {found.folded_norms} norms folded", found.folded),
            )
        ],
        f"batch {found.batch_size}, {found.device}, {found.threads} threads, float32, medians",
    )
