"""Commands on tables of real trainings: ``table``, ``compare-samplers``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from chattn_nas.cli.app import AsJson, app, console, print_table

TableName = Annotated[str, typer.Option("--table", help="A table that ships with the package.")]


@app.command()
def table(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A table that ships with the package.")],
    as_json: AsJson = False,
) -> None:
    """What a table of real trainings says: noise, seeds needed, what rungs foretell, whether mixing pays."""
    from chattn_nas.benchmark import facts, load

    found = dataclasses.asdict(facts(load(name)))
    if as_json:
        print(json.dumps(found))
    else:
        print_table([{"fact": key.replace("_", " "), "value": value} for key, value in found.items()])


@app.command()
def compare_samplers(
    table: TableName = "cifar_resnet8_16px",
    budget: Annotated[int, typer.Option(min=8, help="Full trainings per search.")] = 40,
    repeats: Annotated[int, typer.Option(min=2, help="Searches per method.")] = 100,
    method: Annotated[list[str] | None, typer.Option(help="Only these; may be given several times.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for comparison.csv and comparison.html.")] = None,
    as_json: AsJson = False,
) -> None:
    """Search a table many times with every sampler: how far from the best network does each end?"""
    from chattn_nas.benchmark import METHODS, load, write_comparison
    from chattn_nas.benchmark import compare_samplers as compare

    lines = None if as_json else (lambda line: console.print(line, highlight=False))
    found = compare(load(table), budget=budget, repeats=repeats, methods=method or tuple(METHODS),
                    progress=lines or (lambda line: None))  # fmt: skip
    if as_json:
        print(found.to_json(orient="records"))
    else:
        print_table(
            [{str(key): value for key, value in row.items()} for row in found.to_dict("records")],
            f"Points below the best of {table}, 95 % intervals",
        )
    if out:
        write_comparison(found, out)
