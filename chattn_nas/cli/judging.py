"""Commands that train more in order to judge: ``confirm``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from chattn_nas.cli.app import AsJson, RunPath, app, console, print_table

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
    print_table(
        [_row(row) for row in found.table().to_dict("records")], f"{found.epochs} epochs, differences in points"
    )
    console.print(f"{found.headline}: {found.words.replace('**', '')}", soft_wrap=True, highlight=False)


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    """One network of a confirmation in the width of a terminal."""
    from chattn_nas.results.report import words

    shown = {
        "network": row["network"],
        "search %": words.accuracy(row["search"]),
        "confirmed %": f"{words.accuracy(row['mean'])} (sd {words.accuracy(row['sd'])}, {row['seeds']} seeds)",
    }
    for rival, title in (("uniform", "over the best uniform"), ("none", "over none")):
        shown[title] = words.NOT_THERE
        if row[f"verdict_{rival}"]:
            shown[title] = (
                f"{words.signed(row[f'vs_{rival}'])}\n"
                f"t {words.interval(row[f't_low_{rival}'], row[f't_high_{rival}'])}\n"
                f"bootstrap {words.interval(row[f'bootstrap_low_{rival}'], row[f'bootstrap_high_{rival}'])}\n"
                f"sign test p {row[f'sign_p_{rival}']:.3f}\n{row[f'verdict_{rival}']}"
            )
    return shown
