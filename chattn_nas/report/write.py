"""The report as a file in the run's directory."""

from __future__ import annotations

from pathlib import Path

import optuna

from chattn_nas.errors import InputError
from chattn_nas.report._markdown import markdown
from chattn_nas.report.page import html
from chattn_nas.study.run import CONTACT_SHEET

FORMATS = ("html", "md")


def write_report(run_directory: Path | str, study: optuna.Study, format: str = "html") -> Path:
    """Write ``report.html`` or ``report.md`` into the run's directory and return its path.

    Raises:
        InputError: Another format.
    """
    if format not in FORMATS:
        raise InputError(f"a report cannot be written as {format!r}", value=format, choices=FORMATS)
    path = Path(run_directory) / f"report.{format}"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = markdown(study) if format == "md" else html(study, path.with_name(CONTACT_SHEET))
    path.write_text(text, encoding="utf-8")
    return path
