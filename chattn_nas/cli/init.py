"""The command ``init``: a first spec for a data set, or a list of the shipped ones."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from chattn_nas.cli._app import AsJson, command, console, print_table, say, seconds_of
from chattn_nas.errors import InputError


@command("Start", "chattn-nas init --data photos --budget 2h --yes")
def init(
    data: Annotated[
        str | None,
        typer.Option(help="digits, a folder of images by class, a .tar or .zip of one, .csv, .tsv, .npz or .npy."),
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Any convolutional timm model; default: by the images.")] = None,
    params: Annotated[str | None, typer.Option(help="Most parameters: 1.02x of the bare backbone, 300k, 2.5M.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: the data set's.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; default: <name>.yaml.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take defaults for what is not given.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the shipped specs and end.")] = False,
    budget: Annotated[
        str | None, typer.Option(help="Time that a search may take, such as 2h: plans its trials.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a commented spec for your data; on a terminal, ask for what is not given."""
    from chattn_nas.spec.shipped import one_line, shipped

    if listed:
        if as_json:
            print(json.dumps({spec: one_line(path) for spec, path in shipped().items()}))
        rows = [{"spec": spec, "what it is for": one_line(path)} for spec, path in shipped().items()]
        print_table(rows, "Shipped specs: chattn-nas search NAME", whole=("spec",))
        return
    if not yes and sys.stdin.isatty():
        data = data or typer.prompt("Data: a folder of images by class, a table, arrays, or", default="digits")
        model = backbone or typer.prompt("Backbone: any timm model, or", default="by the images")
        backbone = None if model == "by the images" else model
        params = params or typer.prompt("Most parameters", default="1.05x")
        time = budget or typer.prompt("Time for the search, such as 30m or 2h, or", default="24 trials")
        budget = None if time == "24 trials" else time
    data = data or "digits"
    seconds = None if budget is None else seconds_of(budget)
    from chattn_nas.spec.draft import default_name, draft

    name = name or default_name(data)
    given_place = out is not None
    out = out or Path(f"{name}.yaml")
    if out.exists():
        raise InputError(f"{out} exists and is left as it is; another place: --out FILE, or --name NAME")
    if given_place and not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}")
    found = draft(data, out, name=name, backbone=backbone, parameters=params or "1.05x")
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(found.text)
    except FileExistsError:
        raise InputError(f"{out} exists by now and is left as it is") from None
    for line in found.said:
        say(f"Data: {line}")
    if seconds is not None:
        _plan_trials(out, found.text, seconds)
    given = shlex.quote(str(out))
    console.print(
        f"Wrote {out}; its comments say why each value. Next:\n"
        f"  chattn-nas space {given}   (what it holds)\n  chattn-nas search {given}",
        soft_wrap=True, highlight=False,
    )  # fmt: skip
    if as_json:
        print(json.dumps({"spec": str(out), "data": list(found.said)}))


def _plan_trials(out: Path, text: str, seconds: float) -> None:
    """Time a few steps of what was written, and ask for as many trials as fit into the time."""
    from chattn_nas.judging import plan_search
    from chattn_nas.results import words
    from chattn_nas.spec import load_spec

    say("Timing a few training steps")
    plan = plan_search(load_spec(out))
    trials = min(max(plan.trials_within(seconds), plan.baselines + 1), 10_000)
    line = f"  trials: {trials}"
    why = f"about {words.about(seconds)} here by the plan of the day it was written; chattn-nas plan SPEC tells anew"
    out.write_text(re.sub(r"(?m)^  trials: .*$", f"{line:<31} # {why}", text), encoding="utf-8")
    say(f"Plan: about {trials:,} trials in {words.about(seconds)}")
    if plan.trials_within(seconds) <= plan.baselines:
        say(
            f"Plan: beware, that is hardly time for the {plan.baselines} baselines: a smaller backbone, smaller images "
            "or fewer types need less"
        )
