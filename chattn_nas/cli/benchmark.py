"""Commands on tables of real trainings: ``table``, ``compare-samplers``, ``compare-picks``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chattn_nas.cli._app import AsJson, command, moving, print_json, print_table, say
from chattn_nas.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

TableName = Annotated[str, typer.Option("--table", help="A table that ships with the package.")]


@command("Tables", "chattn-nas table cifar_resnet8_16px_20ep")
def table(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A table that ships with the package.")],
    figure: Annotated[
        Path | None, typer.Option(help="An SVG file to write: what short trainings foretell, by their cost.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a table of real trainings says: the worth of attention, whether mixing pays, what predicts it."""
    with moving("Loading torch", line=False):
        from chattn_nas.benchmark import LongTable, answers_markdown, facts, foretelling_svg, load, read_table

    rows = read_table(name)
    if "plan" in rows:
        table = LongTable(rows)
        text = answers_markdown(table)
        if figure:
            figure.write_text(foretelling_svg(table), encoding="utf-8")
        if as_json:
            print_json({"table": name, "answers": text})
        else:
            print(text)
        return
    if figure:
        raise InputError(f"table {name} has no long trainings that others could foretell", value=name)
    table_facts = dataclasses.asdict(facts(load(name)))
    if as_json:
        print_json(table_facts)
    else:
        print_table([{"fact": key.replace("_", " "), "value": value} for key, value in table_facts.items()])


@command("Tables", "chattn-nas compare-samplers --budget 40 --repeats 20")
def compare_samplers(
    table: Annotated[
        list[str] | None,
        typer.Option(
            help="A table that ships with the package, or world_... to simulate one; may be repeated. [all tables]"
        ),
    ] = None,
    budget: Annotated[int, typer.Option(min=8, help="Full trainings per search.")] = 40,
    repeats: Annotated[int, typer.Option(min=2, help="Searches per method.")] = 100,
    method: Annotated[
        list[str] | None, typer.Option(help="Only this one, also module:Class or optunahub:NAME; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for comparison.csv and comparison.html.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run every sampler many times on tables: how far from the best does it end, and what does it cost to get near?"""
    from chattn_nas.benchmark import USUAL, ground, write_comparison
    from chattn_nas.benchmark import compare_samplers as compare
    from chattn_nas.benchmark.table import table_specs

    tables = {name: ground(name) for name in table or table_specs()}
    comparison = compare(tables, budget=budget, repeats=repeats, methods=method or USUAL, progress=_progress(as_json))
    _show(comparison, "", as_json)
    if out:
        write_comparison(comparison, out)


@command("Tables", "chattn-nas compare-picks --repeats 20")
def compare_picks(
    table: TableName = "cifar_resnet8_16px",
    budget: Annotated[list[int] | None, typer.Option(min=8, help="Trainings per search; may be repeated.")] = None,
    repeats: Annotated[int, typer.Option(min=2, help="Searches per budget and number of seeds.")] = 100,
    out: Annotated[Path | None, typer.Option(help="A CSV file to write.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare ways to pick the winner at equal cost: one to three seeds per network; best single, mean, pooled."""
    from chattn_nas.benchmark import compare_picks as compare
    from chattn_nas.benchmark import load

    comparison = compare(load(table), budgets=budget or (10, 20, 40, 80), repeats=repeats, progress=_progress(as_json))
    _show(comparison, table, as_json)
    if out:
        comparison.to_csv(out, index=False)


def _progress(as_json: bool) -> Callable[[str], None]:
    return (lambda line: None) if as_json else say


def _cost(row: Mapping[Hashable, Any]) -> str:
    """Trainings until the pick is near the best, with its interval; infinity is "more than the budget"."""
    words = [f"{one:.0f}" if one < float("inf") else f"> {row['budget']}" for one in
             (row["cost"], row["cost_low"], row["cost_high"])]  # fmt: skip
    return f"{words[0]} [{words[1]}, {words[2]}]"


def _show(comparison: pd.DataFrame, table: str, as_json: bool) -> None:
    """Print what fits 80 columns; JSON has everything."""
    if as_json:
        print(comparison.to_json(orient="records"))
        return
    parts = comparison.groupby("table", sort=False) if "table" in comparison else [(table, comparison)]
    for name, part in parts:
        said = "points below the best mean, and above the average network on a seed not seen; 95 %"
        print_table([_row(row) for row in part.to_dict("records")], f"{name}: {said}", whole=("regret", "gain"))


def _row(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    named = {str(key): row[key] for key in ("method", "seeds", "by") if key in row}
    measured = {
        "regret": f"{row['regret']:.2f} ± {row['high'] - row['regret']:.2f}",
        "gain": f"{row['gain']:.2f} ± {row['gain_high'] - row['gain']:.2f}" if row["gain"] == row["gain"] else "",
    }
    if "cost" in row:
        return named | measured | {"cost to come near": _cost(row), "tau": f"{row['tau']:.2f}"}
    return {"budget": row["budget"]} | named | measured | {"best ten": row["gain10"], "found": row["found"]}
