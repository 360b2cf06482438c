"""Read a study: tables, the pooled model, comparison, confirmation, report."""

from chattn_nas.results.best import Margin, Pick, Standing, best
from chattn_nas.results.calibrate import calibrate
from chattn_nas.results.calibration import Calibration
from chattn_nas.results.comparison import Comparison, compare, holm
from chattn_nas.results.confirm import confirm, confirmation
from chattn_nas.results.confirmation import Confirmation, Network
from chattn_nas.results.dashboard import annotate, serve
from chattn_nas.results.efficiency import efficiency
from chattn_nas.results.exports import link_export
from chattn_nas.results.fidelities import Fidelity, candidates, of_spec
from chattn_nas.results.importance import importance
from chattn_nas.results.pareto import front, hypervolume_over_time
from chattn_nas.results.record import Record, records
from chattn_nas.results.report import markdown, network_html, run_html, write_report
from chattn_nas.results.selection import select
from chattn_nas.results.tables import architectures, leaderboard, rungs, stages, trials

__all__ = [
    "Calibration",
    "Comparison",
    "Confirmation",
    "Fidelity",
    "Margin",
    "Network",
    "Pick",
    "Record",
    "Standing",
    "annotate",
    "architectures",
    "best",
    "calibrate",
    "candidates",
    "compare",
    "confirm",
    "confirmation",
    "efficiency",
    "front",
    "holm",
    "hypervolume_over_time",
    "importance",
    "leaderboard",
    "link_export",
    "markdown",
    "network_html",
    "of_spec",
    "records",
    "run_html",
    "rungs",
    "select",
    "serve",
    "stages",
    "trials",
    "write_report",
]
