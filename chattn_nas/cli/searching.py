"""Commands before and during a search: ``search``, ``worker``, ``space``, ``nni-config``, ``schema``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from chattn_nas.cli._app import AsJson, SpecPath, app, console, print_table
from chattn_nas.errors import RunError


@app.command()
def search(
    path: SpecPath,
    run: Annotated[Path | None, typer.Option(help="Run directory; default: runs/<name> below this folder.")] = None,
    name: Annotated[str | None, typer.Option(help="Another name than the spec's: starts a run of its own.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Finished trials asked for, over the whole run.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Worker processes; 0: train in this process.")] = None,
) -> None:
    """Search; run again to continue to the asked number of trials."""
    from chattn_nas.spec import load_spec

    spec = load_spec(path)  # before torch is imported: a mistake is told at once
    from chattn_nas import api
    from chattn_nas.data import summary
    from chattn_nas.report import write_report
    from chattn_nas.spec.load import lines_of

    if name:
        spec = spec.changed(name=name)
    try:
        with lines_of(path):
            for line in summary(spec.data, batch_size=spec.proxy.batch_size, epochs=spec.proxy.rungs[-1]):
                console.print(f"Data: {line}", soft_wrap=True, highlight=False)
            found = api.search(spec, run=run, trials=trials, workers=workers)
    except KeyboardInterrupt:
        console.print("Stopped. Trials that ran wait again: the same command goes on.")
        raise typer.Exit(130) from None
    found.write_trials()
    report = write_report(found.directory, found.study)
    console.print(
        f"Best so far: {found.best()}\nRun: {found.directory}\nReport: {report}", soft_wrap=True, highlight=False
    )


@app.command()
def worker(
    target: Annotated[Path, typer.Argument(metavar="RUN|SPEC", help="A run, or its spec on another machine.")],
    storage: Annotated[str | None, typer.Option(help="URL of the study; default: the run's or the spec's.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda:0, ...; default: the spec's.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the search, where it was started with --name.")] = None,
) -> None:
    """Join a search that was started elsewhere, and train until its asked number of trials has ended."""
    from chattn_nas.search import join
    from chattn_nas.spec import load_spec
    from chattn_nas.spec.shipped import shipped
    from chattn_nas.study import RunDirectory

    try:
        found = load_spec(target) if target.is_file() else RunDirectory(target)
    except RunError:
        if target.name not in shipped() or target.exists():
            raise
        found = load_spec(target)
    if name and not isinstance(found, RunDirectory):
        found = found.changed(name=name)
    join(found, storage, device, progress=True)


@app.command()
def space(path: SpecPath, as_json: AsJson = False) -> None:
    """Size of a spec's space, how much of it is feasible, and what every choice costs in every stage."""
    from chattn_nas.network.layout import layout
    from chattn_nas.search.feasible import feasible_share
    from chattn_nas.spec import load_spec

    spec = load_spec(path)
    found = spec.search_space()
    plan = layout(spec.backbone.backbone, 3, spec.data.image_size)
    rows = [
        {"stage": number, "module": stage.name, "choice": str(form), "parameters": cost[0], "MACs": cost[1]}
        for number, (stage, choices) in enumerate(zip(found.stages, found.canonical, strict=True), 1)
        for form in dict.fromkeys(choices.values())
        for cost in (form.cost(stage),)
    ]
    share = feasible_share(spec)
    summary = {
        "blocks": plan.all_blocks,
        "blocks_with_slot": plan.slotted,
        "size": found.size,
        "canonical_size": found.canonical_size,
        "feasible": dataclasses.asdict(share),
    }
    if as_json:
        print(json.dumps(summary | {"choices": rows}))
        return
    console.print(f"{spec.backbone.model}: {plan.share}", highlight=False)
    console.print(f"{found.size:,} combinations of settings, {found.canonical_size:,} different networks; {share}")
    print_table(rows, f"What each choice adds to {spec.backbone.model}, per sample of {spec.data.image_size} px")


@app.command()
def nni_config(
    path: SpecPath,
    out: Annotated[Path, typer.Option(help="Folder to write: the run that the experiment fills.")],
) -> None:
    """Write config.yml and search_space.json for: nnictl create --config OUT/config.yml."""
    from chattn_nas.search.nni.config import write_config
    from chattn_nas.spec import load_spec

    console.print(
        f"Wrote {write_config(load_spec(path), out)}; the baselines wait: chattn-nas search {path} --run {out}",
        soft_wrap=True, highlight=False,
    )  # fmt: skip


@app.command()
def schema() -> None:
    """The JSON Schema of a spec, for editors: chattn-nas schema > schema.json."""
    from chattn_nas.spec.schema import schema_text

    print(schema_text(), end="")
