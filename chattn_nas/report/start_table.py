"""The table of the networks' starts."""

from __future__ import annotations

from chattn_nas.report.cells import Cell, Column, ReportTable
from chattn_nas.report.facts import RunFacts
from chattn_nas.study.short import in_short


def start_table(facts: RunFacts) -> ReportTable:
    """A row per baseline and for the lead: scales, the first epoch's loss, and any handicap at the start."""
    columns = [
        Column("architecture"),
        Column("ratio", "per stage: the map behind the attention over what would be there without it, at the start"),
        Column("scale", "per stage: root mean square behind the attention, before and after training", wide=True),
        Column("first loss", "mean training loss of the first epoch over that of none on the same seeds", number=True),
        Column(""),
    ]
    rows = [(row.mark and "control", [Cell(in_short(value), value) for value in row]) for row in facts.starts]
    return ReportTable(columns, rows)
