"""The command ``init``: a first spec for a data set, or a list of the shipped ones."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from chattn_nas.cli._app import command, console, print_table
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
) -> None:
    """Write a commented spec for your data; on a terminal, ask for what is not given."""
    from chattn_nas.spec.shipped import one_line, shipped

    if listed:
        rows = [{"spec": spec, "what it is for": one_line(path)} for spec, path in shipped().items()]
        print_table(rows, "Shipped specs: chattn-nas search NAME", whole=("spec",))
        return
    if not yes and sys.stdin.isatty():
        data = data or typer.prompt("Data: a folder of images by class, a table, arrays, or", default="digits")
        model = backbone or typer.prompt("Backbone: any timm model, or", default="by the images")
        backbone = None if model == "by the images" else model
        params = params or typer.prompt("Most parameters", default="1.05x")
    data = data or "digits"
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
        console.print(f"Data: {line}", soft_wrap=True, highlight=False)
    given = shlex.quote(str(out))
    console.print(
        f"Wrote {out}; its comments say why each value. Next:\n"
        f"  chattn-nas space {given}   (what it holds)\n  chattn-nas search {given}",
        soft_wrap=True, highlight=False,
    )  # fmt: skip
