"""Tables of the course of a search: rungs, progress, order, outcomes."""

from __future__ import annotations

from markupsafe import escape

from chattn_nas.report.cells import Cell, Column, ReportTable, number
from chattn_nas.report.facts import RunFacts
from chattn_nas.report.thinning import ROWS, changes, spread
from chattn_nas.results import words


def rungs(facts: RunFacts) -> ReportTable:
    """A row per rung: how many trials reached it, and their scores."""
    columns = [
        Column("epochs", number=True),
        Column("reached by", "trainings", number=True),
        Column("mean %", number=True),
        Column("sd", "over trainings, points", number=True),
        Column("best %", number=True),
    ]
    rows = []
    for epoch, group in facts.rungs.groupby("epoch") if len(facts.rungs) else ():
        values = group["score"]
        rows.append(
            (
                "",
                [
                    number(float(str(epoch)), str(epoch)),
                    number(len(values), str(len(values))),
                    number(values.mean(), words.accuracy(values.mean())),
                    number(values.std(), words.accuracy(values.std())),
                    number(values.max(), words.accuracy(values.max())),
                ],
            )
        )
    return ReportTable(columns, rows)


def outcomes(facts: RunFacts) -> ReportTable:
    """A row per outcome: trials, time, reasons."""
    columns = [Column("outcome"), Column("trials", number=True), Column("time", number=True), Column("why", wide=True)]
    rows = [
        (
            "",
            [
                Cell(row["outcome"], row["outcome"]),
                number(row["trials"], str(row["trials"])),
                number(row["seconds"], row["time"]),
                Cell(escape(row["reasons"]), row["reasons"]),
            ],
        )
        for row in facts.outcomes.to_dict("records")
    ]
    return ReportTable(columns, rows)


def progress(facts: RunFacts) -> ReportTable:
    """A row per complete training: its accuracy, the best so far, the hypervolume so far."""
    columns = [
        Column("trial", number=True),
        Column("accuracy %", number=True),
        Column("best so far %", number=True),
        Column("hypervolume", "share of the box between the worst and the best seen", number=True),
    ]
    rows = [
        (
            "",
            [
                number(row["number"], f"{row['number']:.0f}"),
                number(row["score"], words.accuracy(row["score"])),
                number(row["best"], words.accuracy(row["best"])),
                number(row["hypervolume"], words.accuracy(row["hypervolume"], 3)),
            ],
        )
        for row in spread(facts.progress, ROWS, changes(facts.progress["best"])).to_dict("records")
    ]
    return ReportTable(columns, rows)


def efficiency(facts: RunFacts) -> ReportTable:
    """A row per new network: the best so far, and the expected best in random order."""
    columns = [
        Column("networks", "trained to the end", number=True),
        Column("trial", number=True, wide=True),
        Column("best %", "pooled mean", number=True),
        Column("in random order %", "expected", number=True),
    ]
    rows = [
        (
            "",
            [
                number(row["networks"], f"{row['networks']:.0f}"),
                number(row["trial"], f"{row['trial']:.0f}"),
                number(row["best"], words.accuracy(row["best"])),
                number(row["random"], words.accuracy(row["random"])),
            ],
        )
        for row in spread(facts.efficiency, ROWS, changes(facts.efficiency["best"])).to_dict("records")
    ]
    return ReportTable(columns, rows)
