"""What every network of a space is worth: tables of real trainings, and searches compared on them."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.benchmark._facts import TableFacts as TableFacts
    from chattn_nas.benchmark._facts import facts as facts
    from chattn_nas.benchmark.build import build_table as build_table
    from chattn_nas.benchmark.compare import METHODS as METHODS
    from chattn_nas.benchmark.compare import compare_picks as compare_picks
    from chattn_nas.benchmark.compare import compare_samplers as compare_samplers
    from chattn_nas.benchmark.figure import write_comparison as write_comparison
    from chattn_nas.benchmark.table import Table as Table
    from chattn_nas.benchmark.table import load as load

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        "._facts": "TableFacts facts",
        ".build": "build_table",
        ".compare": "METHODS compare_picks compare_samplers",
        ".figure": "write_comparison",
        ".table": "Table load",
    },
)
