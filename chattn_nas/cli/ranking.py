"""The command ``one-shot``."""

from __future__ import annotations

import csv as csv_of
from pathlib import Path
from typing import Annotated

import typer

from chattn_nas.cli._app import (
    AsJson,
    SpecPath,
    Wide,
    command,
    is_first,
    moving,
    print_json,
    print_legend,
    print_table,
    say,
)
from chattn_nas.errors import InputError

#: Networks of a ranking that are printed.
FEW = 20


@command("Start", "chattn-nas one-shot quickstart --csv ranking.csv", "one-shot", together=True)
def one_shot(
    path: SpecPath,
    csv: Annotated[
        Path | None, typer.Option(help="Write the ranking to this file; of a huge space only the best networks.")
    ] = None,
    as_json: AsJson = False,
    wide: Wide = False,
) -> None:
    """Train one network with shared weights, and rank the space by it: a first guess, on probation.

    What it is worth: chattn-nas docs cost. The column predicted is minus the loss with shared weights, as a sum
    over stages: more is better.

    On several GPUs: torchrun --nproc-per-node N -m chattn_nas one-shot SPEC
    """
    from chattn_nas.spec import load_spec

    with moving(f"Reading {path}"):
        spec = load_spec(path)
    with moving("Loading torch"):
        from chattn_nas.proxy.distributed import group_size
        from chattn_nas.search.one_shot.ranking import LISTED, ranking
        from chattn_nas.search.one_shot.run import predict_together, refuse
        from chattn_nas.search.preflight import try_out
        from chattn_nas.spec.load import lines_of
        from chattn_nas.study.short import short_form
    with lines_of(path):
        refuse(spec, group_size())
        if csv is not None and is_first():
            _check_place(csv)
        try_out(spec)
        prediction = predict_together(spec, say=say)
    if prediction is None:  # the first process tells it
        return
    rows = ranking(prediction, spec)
    if csv is not None:
        with csv.open("w", encoding="utf-8", newline="") as file:
            writer = csv_of.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    if as_json:
        print_json(rows)
        return
    shown = rows[:FEW]
    networks = spec.search_space().canonical_size
    title = f"The first {len(shown)} of {networks:,} networks by shared weights; predicted: minus their loss"
    if wide:
        print_table(shown, title, wide=True)
    else:
        stages = [row["architecture"].split(" | ") for row in shown]
        print_table([row | {"architecture": short_form(one)} for row, one in zip(shown, stages, strict=True)], title)
        print_legend(choice for one in stages for choice in one)
    if csv is not None:
        say(f"Wrote {csv}: {len(rows):,} networks" + (", the best of the space" if networks > LISTED else ""))
    say("A first guess that decides nothing; what it is worth: chattn-nas docs cost")


def _check_place(csv: Path) -> None:
    """Check that a file can be written before time is spent on its contents."""
    if not csv.parent.is_dir() or csv.is_dir():
        raise InputError(
            f"--csv {csv} cannot be written: " + ("a folder" if csv.is_dir() else f"no folder {csv.parent}")
        )
    csv.touch()
