"""The report of a run: one HTML page, or Markdown for a pull request."""

from chattn_nas.results.report.markdown import markdown
from chattn_nas.results.report.page import html, write_report

__all__ = ["html", "markdown", "write_report"]
