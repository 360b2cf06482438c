"""What every network of a space is worth: tables of real trainings, and searches compared on them."""

from chattn_nas.benchmark.build import build_table
from chattn_nas.benchmark.compare import METHODS, compare_picks, compare_samplers
from chattn_nas.benchmark.facts import Facts, facts
from chattn_nas.benchmark.figure import write_comparison
from chattn_nas.benchmark.table import Table, load

__all__ = [
    "METHODS",
    "Facts",
    "Table",
    "build_table",
    "compare_picks",
    "compare_samplers",
    "facts",
    "load",
    "write_comparison",
]
