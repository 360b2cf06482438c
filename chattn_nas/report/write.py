"""The report as a file in the run's directory."""

from __future__ import annotations

import errno
from pathlib import Path

import optuna

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError
from chattn_nas.files import replacing
from chattn_nas.report._markdown import markdown_of
from chattn_nas.report.facts import RunFacts, gather
from chattn_nas.report.page import page
from chattn_nas.study.run import CONTACT_SHEET, PREDICTIONS

#: What writing into a folder raises that cannot be written.
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
FORMATS = ("html", "md")


@checked
def write_report(
    run_directory: Path | str, study: optuna.Study, format: str = "html", facts: RunFacts | None = None
) -> Path:
    """Write ``report.html`` or ``report.md`` into the run's directory and return its path.

    If that is impossible, as on a read-only disk, ``<name>-report.html`` is written into the working directory.
    ``facts`` are those of the study, if they were gathered already.

    Raises:
        InputError: The format is unknown.
    """
    if format not in FORMATS:
        raise InputError(f"a report cannot be written as {format!r}", value=format, choices=FORMATS)
    path = Path(run_directory) / f"report.{format}"
    facts = facts or gather(study, path.parent)
    text = (
        markdown_of(facts)
        if format == "md"
        else page(facts, path.with_name(CONTACT_SHEET), path.with_name(PREDICTIONS))
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:  # a full disk leaves the report of before
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        path = Path(f"{study.study_name}-{path.name}")
        path.write_text(text, encoding="utf-8")
    return path
