"""Commands before and during a search: ``search``, ``plan``, ``worker``, ``space``, ``nni-config``, ``schema``."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chattn_nas.cli._app import (
    AsJson,
    SpecPath,
    Wide,
    command,
    console,
    moving,
    print_json,
    print_legend,
    print_table,
    read_spec,
    say,
    seconds_of,
)
from chattn_nas.errors import RunError

if TYPE_CHECKING:
    from chattn_nas.judging import SearchPlan
    from chattn_nas.spec import Spec

Budget = Annotated[str | None, typer.Option(help="Time limit, such as 30m or 2h, instead of a number of trials.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Worker processes; 0: train in this process.")]


@command("Search", "chattn-nas search photos.yaml --budget 2h")
def search(
    path: SpecPath,
    run: Annotated[Path | None, typer.Option(help="Run directory; default: runs/<name> below this folder.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run instead of the spec's: starts a new run.")] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials to finish over the whole run; default: the spec's.")
    ] = None,
    budget: Budget = None,
    workers: Workers = None,
    early_stop: Annotated[
        bool,
        typer.Option("--early-stop/--no-early-stop", help="Stop when more trials cannot change the answer."),
    ] = True,
    plan: Annotated[
        bool, typer.Option("--plan/--no-plan", help="Time a few steps first, and say what the search will take.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Search; run the same command again to continue."""
    from chattn_nas.spec import load_spec

    seconds = None if budget is None else seconds_of(budget)
    with moving(f"Reading {path}"):
        spec = load_spec(path)  # before torch is imported: a mistake is told at once
    with moving("Loading torch"):
        from chattn_nas import api
        from chattn_nas.report import write_report
        from chattn_nas.spec.load import lines_of
        from chattn_nas.study.run import place_of

    if name is not None:
        spec = spec.changed(name=name)
    directory = place_of(spec.name, run)
    new = not (directory / "spec.yaml").exists()
    try:
        with lines_of(path):
            asked = _asked(spec, trials, workers)
            heard = _described(asked)
            if plan and new and not console.quiet and spec.trainer is None:
                _planned(asked, seconds, heard, most=4.0)
            finished_run = api.search(
                spec, run=run, trials=trials, workers=workers, budget=seconds, early_stop=early_stop,
                progress=not console.quiet,
            )  # fmt: skip
    except KeyboardInterrupt:
        say("Stopped. Trials that ran wait again: the same command goes on.")
        raise typer.Exit(130) from None
    with moving("Writing the report", line=False):
        finished_run.write_trials()
        api.try_to_show("what the gates do", lambda: finished_run.chosen().look_at_gates())
        report = write_report(finished_run.directory, finished_run.study)
    if as_json:
        best = finished_run.best()
        print_json({"run": str(finished_run.directory), "report": str(report), "best": str(best),
                    "network": best.architecture.to_dict(), "so_far": finished_run.so_far})  # fmt: skip
        return
    so_far = finished_run.so_far
    say(f"{so_far[:1].upper()}{so_far[1:]}\nRun: {finished_run.directory}\nReport: {report}")
    following = f"chattn-nas confirm {shlex.quote(str(finished_run.directory))}"
    say(f"Next: {following}   (retrains the best and the baselines: is the lead real?)")


@command("Start", "chattn-nas plan photos.yaml --budget 2h")
def plan(
    path: SpecPath,
    trials: Annotated[int | None, typer.Option(min=1, help="Trials, instead of the spec's.")] = None,
    budget: Budget = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Time a few training steps, and say what a search takes, what it can show, and what would be wiser."""
    from chattn_nas.spec import load_spec
    from chattn_nas.spec.load import lines_of

    seconds = None if budget is None else seconds_of(budget)
    with moving(f"Reading {path}"):
        spec = load_spec(path)
    with moving("Loading torch"):
        import torch  # noqa: F401 (a second or two, needed for whatever follows)
    with lines_of(path):
        asked = _asked(spec, trials, workers)
        search_plan = _planned(asked, seconds, _described(asked), most=15.0)
    if as_json:
        print_json(search_plan.to_dict())


def _asked(spec: Spec, trials: int | None, workers: int | None) -> Spec:
    """The spec with what the command line says in place of its own."""
    changes = {key: value for key, value in (("trials", trials), ("workers", workers)) if value is not None}
    return spec.changed(search=spec.search.changed(**changes))


def _described(spec: Spec) -> list[str]:
    """Print the description of the data, and return its sentences."""
    from chattn_nas.data import summary
    from chattn_nas.search.preflight import try_without_data

    try_without_data(spec)
    said = summary(spec.data, batch_size=spec.proxy.batch_size, epochs=spec.proxy.rungs[-1])
    for line in said:
        say(f"Data: {line}")
    return said


def _planned(spec: Spec, seconds: float | None, heard: list[str], *, most: float) -> SearchPlan:
    """Make a plan, and print the parts that were not ``heard`` before."""
    from chattn_nas.judging import plan_search

    with moving("Timing a few training steps"):
        search_plan = plan_search(spec, seconds=most)
    known = {one.removeprefix("beware: ") for one in heard}
    for line in search_plan.words:
        if line.removeprefix("wiser: ") not in known:
            say(f"Plan: {line}")
    for line in [] if seconds is None else search_plan.words_within(seconds):
        say(f"Plan: {line}")
    return search_plan


@command("Search", "chattn-nas worker runs/photos --device cuda:1")
def worker(
    target: Annotated[Path, typer.Argument(metavar="RUN|SPEC", help="A run, or its spec on another machine.")],
    storage: Annotated[str | None, typer.Option(help="URL of the study; default: the run's or the spec's.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda:0, ...; default: the spec's.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the search, if it was started with --name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Join a search that was started elsewhere, and run its trials until enough have ended."""
    with moving("Loading torch", line=False):
        from chattn_nas.search import join
        from chattn_nas.spec import load_spec
        from chattn_nas.spec.shipped import shipped
        from chattn_nas.study import RunDirectory

    try:
        run_or_spec = load_spec(target) if target.is_file() else RunDirectory(target)
    except RunError:
        if target.name not in shipped() or target.exists():
            raise
        run_or_spec = load_spec(target)
    if name is not None and not isinstance(run_or_spec, RunDirectory):
        run_or_spec = run_or_spec.changed(name=name)
    join(run_or_spec, storage, device, progress=not console.quiet)
    if as_json:
        print_json({"joined": str(target), "ended": True})


@command("Start", "chattn-nas space quickstart")
def space(path: SpecPath, as_json: AsJson = False, wide: Wide = False) -> None:
    """Show the size of a spec's space, how much of it is feasible, and what every choice costs in every stage."""
    spec = read_spec(path)
    with moving("Loading torch", line=False):
        from chattn_nas.image_size import shown
        from chattn_nas.network.layout import layout
        from chattn_nas.search.feasible import feasible_share
        from chattn_nas.study.record import Wording
        from chattn_nas.study.short import short

        search_space = spec.search_space()
        wording = Wording.of_space(search_space)
        plan = layout(spec.backbone.backbone, 3, spec.data.image_size)
    rows: list[dict[str, Any]] = [
        {"stage": number, "module": stage.name, "choice": words, "parameters": cost[0], "MACs": cost[1]}
        for number, (stage, choices) in enumerate(zip(search_space.stages, search_space.canonical, strict=True), 1)
        for form in dict.fromkeys(choices.values())
        for cost, (words,) in ((form.cost(stage), wording.choices([form.to_dict()])),)
    ]
    with moving("Counting the networks that satisfy the constraints", line=False):
        share = feasible_share(spec)
    summary = {
        "blocks": plan.all_blocks,
        "blocks_with_slot": plan.slotted,
        "size": search_space.size,
        "canonical_size": search_space.canonical_size,
        "feasible": dataclasses.asdict(share),
    }
    if as_json:
        print_json(summary | {"choices": rows})
        return
    say(f"{spec.backbone.model}: {plan.share}")
    if not plan.slotted and ":" in spec.backbone.model:
        say("How a network of yours has places in its blocks: chattn-nas docs backbones")
    say(f"{search_space.size:,} combinations of settings, {search_space.canonical_size:,} different networks; {share}")
    title = f"What each choice adds to {spec.backbone.model}, per image of {shown(spec.data.image_size)}"
    if wide:
        print_table(rows, title, wide=True)
        return
    print_table([
        {"stage": row["stage"], "choice": short(row["choice"]), "parameters": row["parameters"],
         "MACs (M)": f"{row['MACs'] / 1e6:.4f}"} for row in rows
    ], title)  # fmt: skip
    print_legend(row["choice"] for row in rows)


@command("Search", "chattn-nas nni-config quickstart --out nni")
def nni_config(
    path: SpecPath,
    out: Annotated[Path, typer.Option(help="Folder to write: the run that the experiment fills.")],
    as_json: AsJson = False,
) -> None:
    """Write config.yml and search_space.json for: nnictl create --config OUT/config.yml."""
    from chattn_nas.search.nni.config import write_config

    written = write_config(read_spec(path), out)
    if as_json:
        print_json({"config": str(written), "run": str(out)})
    again = f"chattn-nas search {shlex.quote(str(path))} --run {shlex.quote(str(out))}"
    say(f"Wrote {written}; the baselines wait: {again}")


@command("Start", "chattn-nas schema > schema.json")
def schema(as_json: AsJson = False) -> None:
    """Print the JSON Schema of a spec, for editors."""
    from chattn_nas.spec.schema import schema_text

    print(schema_text(), end="")
