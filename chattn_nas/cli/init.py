"""The command ``init``: a first spec for a data set, or a list of the shipped ones."""

from __future__ import annotations

import os
import re
import shlex
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from chattn_nas.cli._app import AsJson, command, moving, print_json, print_table, say, seconds_of
from chattn_nas.errors import InputError


@command("Start", "chattn-nas init --data photos --budget 2h --yes")
def init(
    data: Annotated[
        str | None,
        typer.Option(
            help="digits; a folder, .tar or .zip of images by class, with masks, with COCO's, YOLO's or VOC's boxes, "
            "or of pictures; .csv, .tsv, .npz or .npy."
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="classification, multilabel, segmentation, detection or super_resolution; default: by the data."
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Label column of a table; several columns of 0 and 1: a,b,c.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Any convolutional timm model; default: chosen for the images.")
    ] = None,
    params: Annotated[
        str | None, typer.Option(help="Limit of parameters: 1.02x (of the bare backbone), 300k, 2.5M.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="How to train: plain, finetune, adamw, convnext or rsb; default: chosen for the backbone."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: the data set's.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; default: <name>.yaml.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take defaults for what is not given.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the shipped specs and exit.")] = False,
    pretrained: Annotated[
        bool | None,
        typer.Option("--pretrained/--no-pretrained", help="Start from timm's weights; default: for photos."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time the search may take, such as 2h: sets its number of trials.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a commented spec for your data; on a terminal, ask for what is not given."""
    if listed:
        _list_shipped(as_json)
        return
    if not yes and sys.stdin.isatty():
        data, task, backbone, params, recipe, budget = _ask_for_missing(data, task, backbone, params, recipe, budget)
    data = data or "digits"
    seconds = None if budget is None else seconds_of(budget)
    if data != "digits":
        from chattn_nas.data.sources.place import existing

        existing(data)
    name = name or default_name(data)
    out = _new_file(out, name)
    with moving("Loading torch and timm"):  # only here: a mistake is told at once
        from chattn_nas.spec.draft import draft

    drafted = draft(
        data, out, name=name, task=task, backbone=backbone, parameters=params, recipe=recipe, labels=labels,
        pretrained=pretrained,
    )  # fmt: skip
    _write_new(out, drafted.text)
    for line in drafted.said:
        say(f"Data: {line}")
    if seconds is not None:
        _plan_trials(out, drafted.text, seconds)
    given = shlex.quote(str(out))
    say(
        f"Wrote {out}; its comments say why each value. Next:\n"
        f"  chattn-nas plan {given}   (minutes or days? what can it show?)\n  chattn-nas search {given}",
    )  # fmt: skip
    if as_json:
        print_json({"spec": str(out), "data": list(drafted.said)})


def _list_shipped(as_json: bool) -> None:
    from chattn_nas.spec.shipped import one_line, shipped

    if as_json:
        print_json({spec: one_line(path) for spec, path in shipped().items()})
    rows = [{"spec": spec, "what it is for": one_line(path)} for spec, path in shipped().items()]
    print_table(rows, "Shipped specs: chattn-nas search NAME", whole=("spec",))


def _new_file(out: Path | None, name: str) -> Path:
    """Where the spec is written to: a file that does not exist, in a folder that does."""
    file = out or Path(f"{name}.yaml")
    if file.exists():
        raise InputError(f"{file} exists and is left as it is; remove it, or another place: --out FILE, or --name NAME")
    if out is not None and not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}")
    return file


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise InputError(f"{file} exists by now and is left as it is") from None


def default_name(data: str) -> str:
    """A name for the run: the data set's, without what a name cannot hold."""
    stem = unicodedata.normalize("NFKD", Path(os.path.abspath(data)).stem)  # ü: u and two dots, which are left out
    stem = "".join(one for one in stem if not unicodedata.combining(one))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:200] or "search"


def _ask_for_missing(
    data: str | None, task: str | None, backbone: str | None, params: str | None, recipe: str | None, budget: str | None
) -> list[str | None]:
    """Ask for the options that were not given; for the task only if the data do not determine it."""
    from chattn_nas.data.kinds import TASKS
    from chattn_nas.network import stages
    from chattn_nas.space import Backbone
    from chattn_nas.spec import SearchSettings
    from chattn_nas.spec.draft_source import look, source_of
    from chattn_nas.spec.recipes import RECIPES, recipe_of

    data = data or _answer(
        "Data: a folder of images by class, with masks or boxes, a table, arrays, or", "digits", look
    )
    kind = look(data)
    if task is None and kind.task is None:
        words = "There are pictures alone; for other tasks labels, boxes or masks are missing. Task"
        task = _answer(words, "super_resolution", lambda task: source_of(data, Path(), task))
    if task is None and kind.also:
        task = _answer("It holds boxes and masks. Task", "detection", lambda task: source_of(data, Path(), task))
    classified = (task or kind.task) not in TASKS.values()
    questions: list[tuple[str | None, str, str, Callable[[str], Any]]] = [
        (backbone, "Backbone: any timm model, or", "by the images", lambda model: stages(Backbone(model))),
        (params, "Most parameters", "1.05x" if classified else "any",
         lambda most: SearchSettings(constraints={"parameters": f"<= {most}"})),
        (recipe, f"Recipe: {', '.join(RECIPES)}, or", "by the backbone", recipe_of),
        (budget, "Time for the search, such as 30m or 2h, or", "24 trials", seconds_of),
    ]  # fmt: skip
    answers: list[str | None] = [data, task]
    for given, question, default, check in questions:
        ask = classified or check is not recipe_of
        answer = given or (_answer(question, default, check) if ask else default)
        answers.append(None if answer == default else answer)
    return answers


def _answer(question: str, default: str, check: Callable[[str], Any]) -> str:
    """Ask until the answer is possible; an impossible one is explained."""
    while True:
        answer = str(typer.prompt(question, default=default))
        try:
            if answer != default:
                check(answer)
        except InputError as error:
            print(error, file=sys.stderr)
        else:
            return answer


def _plan_trials(out: Path, text: str, seconds: float) -> None:
    """Time a few steps under the new spec, and set the number of trials that fit into the time."""
    from chattn_nas.judging import plan_search
    from chattn_nas.results import words
    from chattn_nas.spec import load_spec

    with moving("Timing a few training steps"):
        plan = plan_search(load_spec(out))
    fitting, fewest = plan.trials_within(seconds), plan.baselines + 1
    line = f"  trials: {min(max(fitting, fewest), 10_000)}"
    lasts = f"the fewest beside {plan.baselines} baselines; longer than {words.about(seconds)}"
    if fitting >= fewest:
        lasts = f"about {words.about(seconds)}"
    why = f"{lasts} here by the plan of the day it was written; chattn-nas plan SPEC tells anew"
    out.write_text(re.sub(r"(?m)^  trials: .*$", f"{line:<31} # {why}", text), encoding="utf-8")
    for said in plan.words_within(seconds):
        say(f"Plan: {said}")
