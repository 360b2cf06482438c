"""The report of a run: one HTML page, Markdown for a pull request, the notebook's picture."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.report._markdown import markdown as markdown
    from chattn_nas.report.notebook import network_html as network_html
    from chattn_nas.report.notebook import run_html as run_html
    from chattn_nas.report.page import html as html
    from chattn_nas.report.write import write_report as write_report

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        "._markdown": "markdown",
        ".notebook": "network_html run_html",
        ".page": "html",
        ".write": "write_report",
    },
)
