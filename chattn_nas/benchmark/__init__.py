"""Tables of real trainings of every network in a space, and searches compared on them."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.benchmark._facts import TableFacts as TableFacts
    from chattn_nas.benchmark._facts import facts as facts
    from chattn_nas.benchmark.answers import LongTable as LongTable
    from chattn_nas.benchmark.answers_text import answers_markdown as answers_markdown
    from chattn_nas.benchmark.build import build_table as build_table
    from chattn_nas.benchmark.compare import METHODS as METHODS
    from chattn_nas.benchmark.compare import USUAL as USUAL
    from chattn_nas.benchmark.compare import compare_picks as compare_picks
    from chattn_nas.benchmark.compare import compare_samplers as compare_samplers
    from chattn_nas.benchmark.compare import ground as ground
    from chattn_nas.benchmark.figure import write_comparison as write_comparison
    from chattn_nas.benchmark.foretelling_figure import foretelling_svg as foretelling_svg
    from chattn_nas.benchmark.lookup import LookUp as LookUp
    from chattn_nas.benchmark.lookup import read_table as read_table
    from chattn_nas.benchmark.table import Table as Table
    from chattn_nas.benchmark.table import load as load

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        "._facts": "TableFacts facts",
        ".answers": "LongTable",
        ".answers_text": "answers_markdown",
        ".build": "build_table",
        ".compare": "METHODS USUAL compare_picks compare_samplers ground",
        ".figure": "write_comparison",
        ".foretelling_figure": "foretelling_svg",
        ".lookup": "LookUp read_table",
        ".table": "Table load",
    },
)
