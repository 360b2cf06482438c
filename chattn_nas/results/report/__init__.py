"""The report of a run: one HTML page, or Markdown for a pull request."""

from __future__ import annotations

from chattn_nas.results.report.markdown import markdown
from chattn_nas.results.report.notebook import network_html, run_html
from chattn_nas.results.report.page import html
from chattn_nas.results.report.write import write_report

__all__ = ["html", "markdown", "network_html", "run_html", "write_report"]
