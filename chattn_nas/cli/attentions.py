"""The command ``attentions``: what there is to choose from, and what it costs on a given map."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chattn_nas.cli._app import AsJson, command, console, moving, print_json, print_table, say
from chattn_nas.errors import InputError
from chattn_nas.plural import plural

if TYPE_CHECKING:
    from chattn_nas.attention import AttentionType


@command("Start", "chattn-nas attentions eca --channels 256 --size 14")
def attentions(
    type: Annotated[str | None, typer.Argument(metavar="[TYPE]", help="Show this type, with its equation.")] = None,
    channels: Annotated[int, typer.Option(min=1, help="Channels of the feature map that costs are given for.")] = 64,
    size: Annotated[str, typer.Option(help="Size of that map: one number, or HEIGHTxWIDTH.")] = "56",
    as_json: AsJson = False,
) -> None:
    """List every attention type: ours, timm's and installed plug-ins, with settings and costs on a map."""
    with moving("Loading torch", line=False):
        from chattn_nas.attention import overview, registry

    if type is not None and ":" in type:
        from chattn_nas.spec.plugins import look_in

        look_in([Path.cwd()])
    height, width = _size(size)
    names = registry.names() if type is None else (type,)
    kinds = [registry.get(name) for name in names]
    rows = [overview.row(kind, channels, (height, width)) for kind in kinds]
    if as_json:
        print_json(rows if type is None else rows[0] | {"told": overview.documentation(kinds[0])})
        return
    where = f"{channels}x{height}x{width}"
    if type is None:
        _print_list(kinds, rows, where)
    else:
        _print_type(kinds[0], rows[0], where)


def _print_list(kinds: Sequence[AttentionType], rows: Sequence[Mapping[str, Any]], where: str) -> None:
    print_table(
        [
            {
                "type": row["type"],
                "year": str(row["year"] or ""),
                "looks at": row["looks_at"],
                "settings": ", ".join(kind.hyperparameters),
                "parameters": row["parameters"],
                "MACs": row["macs"],
                "paper": row["paper"] or row["title"],
            }
            for kind, row in zip(kinds, rows, strict=True)
        ],
        f"Costs of the defaults on a map of {where}",
        whole=("type", "parameters", "MACs"),
    )
    for row in rows:
        if row["problem"]:
            say(f"{row['type']} cannot sit there: {row['problem']}")
    say(
        "MACs are of convolutions and matrix products, per sample; what a type does value by value is not in them. "
        "Values of settings and the equation: chattn-nas attentions TYPE."
    )


def _print_type(kind: AttentionType, costs: Mapping[str, Any], where: str) -> None:
    from chattn_nas.attention import overview

    for paragraph in (overview.documentation(kind) or kind.title or kind.name).split("\n\n"):
        say(paragraph if paragraph.startswith("    ") else " ".join(paragraph.split()))
        console.print()
    facts = {
        "settings (default first)": overview.settings(kind) or "none",
        "default place": overview.place(kind),
        "looks at": kind.looks_at,
        "needs": "; ".join(overview.needs(kind)) or "nothing",
        f"on {where}": costs["problem"]
        or f"{plural(costs['parameters'], 'parameter')}, {plural(costs['macs'], 'MAC')} per sample",
        "paper": " ".join(filter(None, (kind.title, f"({kind.year})" if kind.year else "", kind.paper))) or "not told",
    }
    for key, text in facts.items():
        say(f"{key}: {text}")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
    pair = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if min(pair) < 1:
        raise InputError(f"--size is one number of pixels or HEIGHTxWIDTH, such as 56 or 56x28, not {text!r}")
    return pair
