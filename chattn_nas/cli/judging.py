"""Commands that train more in order to judge: ``confirm``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chattn_nas.cli.app import AsJson, RunPath, app, console, print_table

if TYPE_CHECKING:  # torch is imported where a command needs it
    from chattn_nas.results import Comparison, Network

Workers = Annotated[int | None, typer.Option(min=0, help="Worker processes; 0: train in this process.")]


@app.command()
def confirm(
    run: RunPath,
    top: Annotated[int, typer.Option(help="How many of the best by pooled mean.")] = 3,
    seeds: Annotated[int, typer.Option(help="Trainings per network, on seeds the search never saw.")] = 5,
    epochs: Annotated[int | None, typer.Option(help="Of each training; default: 4 times the last rung.")] = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Retrain the best and the baselines at full length on new seeds, and say whether the lead is real."""
    from chattn_nas import api, results

    opened = api.Run(run)
    found = results.confirm(opened, top=top, seeds=seeds, epochs=epochs, workers=workers, progress=not as_json)
    results.write_report(opened.directory, opened.study)
    if as_json:
        print(json.dumps(found.to_dict()))
        return
    print_table([_row(one) for one in found.networks], f"{found.epochs} epochs each, differences in points")
    console.print(f"{found.headline}: {found.words.replace('**', '')}", soft_wrap=True, highlight=False)


def _row(one: Network) -> dict[str, Any]:
    """One network of a confirmation in the width of a terminal."""
    from chattn_nas.results.report import words

    return {
        "network": one.name,
        "search %": words.accuracy(one.search),
        "confirmed %": f"{words.accuracy(one.mean)}\nsd {words.accuracy(one.sd)}\n"
        + words.plural(len(one.accuracies), "seed"),
        "over the best uniform": _difference(one.uniform),
        "over none": _difference(one.none),
    }


def _difference(found: Comparison | None) -> str:
    from chattn_nas.results.report import words

    if found is None:
        return words.NOT_THERE
    return (
        f"{words.signed(found.mean)}: t {words.interval(found.t_low, found.t_high)}\n"
        f"bootstrap {words.interval(found.bootstrap_low, found.bootstrap_high)}\n"
        f"sign test p {found.sign_p:.3f}, Holm p {found.p_holm:.3f}\n{found.words}"
    )
