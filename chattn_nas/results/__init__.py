"""Read a study: tables, the pooled model, comparison, confirmation, report."""

from chattn_nas.results.best import Margin, Pick, Standing, best
from chattn_nas.results.pareto import front, hypervolume_over_time
from chattn_nas.results.record import Record, records
from chattn_nas.results.report import write_report
from chattn_nas.results.selection import select
from chattn_nas.results.tables import architectures, leaderboard, rungs, stages, trials

__all__ = [
    "Margin",
    "Pick",
    "Record",
    "Standing",
    "architectures",
    "best",
    "front",
    "hypervolume_over_time",
    "leaderboard",
    "records",
    "rungs",
    "select",
    "stages",
    "trials",
    "write_report",
]
