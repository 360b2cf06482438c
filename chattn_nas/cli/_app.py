"""The app, its common arguments, and how tables are printed."""

from __future__ import annotations

import codecs
import errno
import io
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from chattn_nas.credentials import redacted
from chattn_nas.errors import ChattnError, InputError

#: Signs that we print, and what stands for them on a terminal that knows ASCII alone.
_PLAIN = {
    "\N{PLUS-MINUS SIGN}": "+-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{EN DASH}": "-",
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()
#: What a file system refuses for reasons that its user can mend.
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EISDIR, errno.ENOTDIR)

SpecPath = Annotated[Path, typer.Argument(metavar="SPEC", help="A YAML spec, or the name of a shipped one.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory, or its name below runs/.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]


def _print_version(asked: bool) -> None:
    if asked:
        print(version("chattn-nas"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Neural architecture search over channel attention."""


def main() -> None:
    """Run the command line; an error raised on purpose is one line on stderr and its own exit code."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")
    try:
        app()
    except ChattnError as error:
        _end(str(error), error.exit_code)
    except Exception as error:
        if (said := _of_a_storage(error) or _of_a_file(error)) is None:
            raise
        _end(said, InputError.exit_code)


def _end(said: str, code: int) -> NoReturn:
    print(f"chattn-nas: {redacted(said)}", file=sys.stderr)
    sys.exit(code)


def _of_a_storage(error: Exception) -> str | None:
    """What a database said, where it is one; Optuna and SQLAlchemy are loaded then."""
    kinds = [
        getattr(sys.modules.get(module), name, None)
        for module, name in (("optuna.exceptions", "StorageInternalError"), ("sqlalchemy.exc", "SQLAlchemyError"))
    ]
    if not isinstance(error, tuple(kind for kind in kinds if kind is not None)):
        return None
    from chattn_nas.study.storage import explained

    return explained(error)


def _of_a_file(error: Exception) -> str | None:
    """A file that cannot be read or written: the disk is full, the folder is read-only."""
    if isinstance(error, OSError) and error.filename is not None and error.errno in REFUSED:
        return f"{error.filename} cannot be read or written: {error.strerror}"
    return None


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What a terminal shows that cannot show everything, such as ``+-`` for ``±``; it never ends a command."""
    assert isinstance(error, UnicodeEncodeError)
    found = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in found), error.end


def print_table(rows: list[dict[str, Any]], title: str | None = None, *, whole: tuple[str, ...] = ()) -> None:
    """Print records as a table; the keys of the first one are the columns, those in ``whole`` are never broken."""
    table = Table(title=title, title_justify="left")
    for column in rows[0] if rows else ():
        number = isinstance(rows[0][column], int | float)
        table.add_column(str(column), justify="right" if number else "left", overflow="fold", no_wrap=column in whole)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
