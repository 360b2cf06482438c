"""The command ``backbones``: which timm models can take attention, and where."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

from chattn_nas.cli._app import AsJson, command, moving, print_json, print_table
from chattn_nas.errors import BackboneError


@command("Start", "chattn-nas backbones 'regnet*'")
def backbones(
    pattern: Annotated[
        str, typer.Argument(metavar="[PATTERN]", help="Models as in timm, such as 'resnet*', or module:function.")
    ] = "*",
    check: Annotated[
        bool, typer.Option("--check", help="Build each with attention, run it forward and backward.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List timm models that can take attention: kind of slot, stages, slots and channels per stage, and how many of a
    model's blocks have a slot of their own; in a stage without any, attention sits behind the whole stage."""
    with moving("Loading torch and timm", line=False):
        import timm

        from chattn_nas.network._timm import import_timm, unknown
        from chattn_nas.network.survey import check as try_out
        from chattn_nas.network.survey import survey
        from chattn_nas.spec.plugins import look_in

        import_timm()
    if ":" in pattern:
        look_in([Path.cwd()])
    names = [pattern] if ":" in pattern else timm.list_models(pattern)
    if not names:
        raise unknown(pattern)
    rows: list[dict[str, Any]] = []
    for name in track(names, "timm models", disable=as_json or not sys.stdout.isatty(), transient=True):
        try:
            surveyed = survey(name)
            if check:
                try_out(surveyed)
            rows.append(surveyed.to_dict() | {"result": "runs" if check else "ok"})
        except BackboneError as error:
            rows.append({"model": name, "result": f"refused: {error.message}"})
    if as_json:
        print_json(rows)
        return
    taken = [row for row in rows if "kinds" in row]
    print_table(
        [
            {
                "model": row["model"],
                "slots": ", ".join(row.get("kinds", ())),
                "stages": " ".join(row.get("stages", ())),
                "per stage": " ".join(map(str, row.get("slots", ()))),
                "blocks": f"{row['slotted']} of {row['blocks']}" if "blocks" in row else "",
                "channels": " ".join(row.get("channels", ())),
                "result": row["result"],
            }
            for row in rows
        ],
        f"{len(taken)} of {len(rows)} models can take attention",
    )
