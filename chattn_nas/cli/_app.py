"""The app, its common arguments, and how tables are printed."""

from __future__ import annotations

import codecs
import errno
import functools
import inspect
import io
import json
import logging
import math
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, get_type_hints

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from chattn_nas._lazy import leave_garbage
from chattn_nas.arguments import by_flags
from chattn_nas.cli import usage
from chattn_nas.credentials import redacted
from chattn_nas.errors import ChattnError, DataError, InputError, ProcessLost, RunError, first_line
from chattn_nas.interrupts import as_interrupt
from chattn_nas.openmp import short_waits
from chattn_nas.required import missing_package

if TYPE_CHECKING:  # it loads torch
    from chattn_nas.api import Run
    from chattn_nas.spec import Spec

#: Characters that we print, with their substitutes on an ASCII terminal.
_PLAIN = {
    "\N{PLUS-MINUS SIGN}": "+-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{EN DASH}": "-",
}

EXIT_CODES = (
    "Exit codes: 0 done; 1 it failed, or doctor found something wrong; 2 the request, the spec or the run cannot be "
    "used; 130 stopped by Ctrl-C, and the same command goes on."
)
app = typer.Typer(
    no_args_is_help=True,
    epilog=EXIT_CODES,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: Seconds that a process of ``torchrun`` waits for the first one to tell an error that both have.
PATIENCE = 20
console = Console(markup=False, highlight=False)  # what is printed comes from users
#: What a file system refuses for reasons that its user can mend.
REFUSED = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EISDIR, errno.ENOTDIR, errno.ENOENT,
    errno.ENAMETOOLONG, errno.ELOOP, errno.EIO,
)  # fmt: skip


def _specs(incomplete: str) -> list[str]:
    """Shipped specs and those of this folder, for shell completion; none if it should complete files."""
    from chattn_nas.spec.shipped import shipped

    return [name for name in (*shipped(), *map(str, Path().glob("*.yaml"))) if name.startswith(incomplete)]


def completed_runs(incomplete: str) -> list[str]:
    """Names of runs below ``runs/``, for shell completion."""
    return [spec.parent.name for spec in Path("runs").glob("*/spec.yaml") if spec.parent.name.startswith(incomplete)]


SpecPath = Annotated[
    Path, typer.Argument(metavar="SPEC", help="A YAML spec, or the name of a shipped one.", autocompletion=_specs)
]
RunPath = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="A run's directory, or its name below runs/.", autocompletion=completed_runs),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Wide = Annotated[bool, typer.Option("--wide", help="Every column and the long names, however wide the terminal is.")]
#: Groups of the help, in its order.
Panel = Literal["Start", "Search", "Judge", "Take home", "Tables"]


def command(
    panel: Panel, example: str, name: str | None = None, *, goes_on: bool = False, together: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command in the help's group ``panel``; each has ``--quiet``, and is silent with ``--json``.

    ``goes_on`` says that the same command continues after an interruption; ``together``, that the processes that
    ``torchrun`` starts do one work, of which only the first speaks.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        """Return the function unchanged; the command is a wrapper with ``--quiet``."""
        hints = get_type_hints(function, include_extras=True)
        defaults = {name: one.default for name, one in inspect.signature(function).parameters.items()}

        @functools.wraps(function)
        def run(*values: Any, quiet: bool = False, **options: Any) -> None:
            silent = together and not is_first()
            console.quiet = quiet or silent or bool(options.get("as_json"))
            _refuse_no_text({name: value for name, value in options.items() if value != defaults.get(name)})
            disabled = logging.root.manager.disable
            if silent:
                logging.disable(logging.WARNING)
            try:
                function(*values, **options)
            except DataError as error:
                missing = error.where == ("data", "path") and error.message.startswith("there is no ")
                if not missing or "run" not in options or "path" in options:
                    raise
                raise RunError(f"{error} ({_elsewhere(options['run'])})") from error
            except KeyboardInterrupt:
                if not silent:
                    print("Stopped" + (": the same command goes on." if goes_on else "."), file=sys.stderr)
                raise typer.Exit(130) from None
            finally:
                logging.disable(disabled)

        own = inspect.signature(function).parameters.values()
        parameters = [one.replace(annotation=hints[one.name]) for one in own]
        extra = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet)
        run.__signature__ = inspect.Signature([*parameters, extra])  # type: ignore[attr-defined]
        run.__annotations__ = hints | {"quiet": Quiet}
        app.command(name, rich_help_panel=panel, epilog=f"Example: {example}")(run)
        return function

    return register


def is_first() -> bool:
    """Whether this process is the only one, or the first of those that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


def _leave_to_others(error: Exception) -> None:
    """Wait before an error is told that another process of ``torchrun`` tells: that one's end ends this one.

    What is wrong with a spec or an option every process finds; and where one fails, the others lose it.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or (is_first() and not isinstance(error, ProcessLost)):
        return
    try:
        time.sleep(3 * PATIENCE if isinstance(error, ProcessLost) else PATIENCE)
    except KeyboardInterrupt:
        sys.exit(getattr(error, "exit_code", 1))


def _refuse_no_text(options: Mapping[str, Any]) -> None:
    """Refuse a name that is no text, which fits into no report, database or file of weights, and an empty one."""
    for name, value in options.items():
        for one in value if isinstance(value, list) else (value,):
            if isinstance(one, str) and not one.strip():
                raise InputError(f"'{name.replace('_', '-')}' is empty: leave it out, or give it a value")
            try:
                str(one).encode()
            except UnicodeEncodeError:
                raise InputError(f"{str(one)!a} is no UTF-8 text: give it another name") from None


def _elsewhere(run: Path) -> str:
    """Advice if the data of a run have moved."""
    return (
        f"if the set lies elsewhere now, 'chattn-nas search SPEC --run {run}' with a spec that says where takes it over"
    )


def say(text: str) -> None:
    """Print one line: wrapped between words on a terminal, unwrapped elsewhere."""
    console.print(text, soft_wrap=not console.is_terminal)


def print_json(value: Any) -> None:
    """Print a value as JSON; NaN and infinity, which JSON lacks, become ``null``."""
    print(json.dumps(_finite(value), default=str), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def moving(text: str, *, line: bool = True) -> AbstractContextManager[Any]:
    """Show a spinner on a terminal while something takes its time; elsewhere print a ``line``, or nothing."""
    if console.is_terminal and not console.quiet:
        return console.status(text)
    if line:
        say(text)
    return nullcontext()


def read_spec(path: Path) -> Spec:
    """Read a spec, with a spinner, since loading torch takes seconds."""
    with moving(f"Reading {path}", line=False):
        from chattn_nas.spec import load_spec

        return load_spec(path)


def open_run(run: Path, *, line: bool = False) -> Run:
    """Open a run, with a spinner, since readers take a second or two to load; before long work, print a ``line``."""
    with moving(f"Reading {run}", line=line):
        from chattn_nas import api

        return api.Run(run)


def seconds_of(text: str) -> float:
    """Parse ``90s``, ``30m``, ``2h``, ``1h30m`` or ``2d`` into seconds.

    Raises:
        InputError: The text has another form, or the time is 0.
    """
    one = r"(\d+(?:\.\d+)?)\s*(d|h|m|s)(?:ays?|ours?|in(?:ute)?s?|ec(?:ond)?s?)?(?![a-z])"
    parts = re.findall(one, text)
    seconds = sum(float(number) * {"d": 86400, "h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)
    if re.sub(rf"{one}|\s", "", text) or seconds <= 0:
        raise InputError(f"--budget is a time such as 30m, 2h or 1h30m, not {text!r}", value=text)
    return seconds


def _print_version(requested: bool) -> None:
    if requested:
        print(version("chattn-nas"))
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Neural architecture search over channel attention."""
    context.with_resource(by_flags())


class _Warnings(logging.Handler):
    """Prints warnings on stderr, wrapped between words on a terminal, and never the same one twice in a row."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a log record."""
        try:
            before, self.last = self.last, redacted(self.format(record))
            if self.last != before:
                print(_filled(self.last), file=sys.stderr)
        except Exception:
            self.handleError(record)


def main() -> None:
    """Run the command line; an error of ours becomes one line on stderr and its exit code."""
    _read_names_as_utf8()
    logging.lastResort = _Warnings(logging.WARNING)
    leave_garbage()
    os.environ.update(short_waits())
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")
    try:
        with as_interrupt():
            try:
                sys.exit(app(standalone_mode=False))
            except Exception as error:
                _leave_to_others(error)
                raise
    except typer.Abort:  # an answer that was asked for
        _end("stopped", 130)
    except usage.USAGE as error:
        if len(sys.argv) == 1:  # the help, which some versions of typer show as an error
            print(error, file=sys.stderr)
            sys.exit(InputError.exit_code)
        _end(usage.in_words(error), InputError.exit_code)
    except ChattnError as error:
        _end(str(error), error.exit_code)
    except Exception as error:
        if (said := missing_package(error) or _of_a_storage(error) or _of_a_file(error)) is None:
            raise
        _end(str(said), InputError.exit_code)


def _read_names_as_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where names of files would be ASCII (``PYTHONUTF8=0`` beside ``LC_ALL=C``).

    There a name such as ``größe`` is an error in Python, or other characters. The terminal stays what it is.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"
        os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _end(message: str, code: int) -> NoReturn:
    print(_filled(f"chattn-nas: {redacted(message)}"), file=sys.stderr)
    sys.exit(code)


def _filled(text: str) -> str:
    """Wrap one line for stderr between words on a terminal; leave several lines as they are."""
    if not sys.stderr.isatty() or "\n" in text:
        return text
    return textwrap.fill(text, shutil.get_terminal_size().columns, break_long_words=False, break_on_hyphens=False)


def _of_a_storage(error: Exception) -> str | None:
    """The message of a database's error, if it is one; Optuna and SQLAlchemy are loaded in that case."""
    kinds = [
        getattr(sys.modules.get(module), name, None)
        for module, name in (("optuna.exceptions", "StorageInternalError"), ("sqlalchemy.exc", "SQLAlchemyError"))
    ]
    if not isinstance(error, tuple(kind for kind in kinds if kind is not None)):
        return None
    from chattn_nas.study.storage import explained

    return explained(error)


def _of_a_file(error: Exception) -> str | None:
    """The message for a file that cannot be read or written: the disk is full, the folder is read-only."""
    if isinstance(error, OSError) and error.filename is not None and error.errno in REFUSED:
        return f"{error.filename} cannot be read or written: {error.strerror}"
    from chattn_nas.files import FULL

    if isinstance(error, OSError) and error.errno in FULL:  # of whatever is written in parts, Python knows no name
        return f"nothing more can be written: {error.strerror}"
    if type(error) is OSError and error.errno is None:  # a library's own sentence, such as pandas' on a missing folder
        return first_line(error)
    return None


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Reduce a text to what a limited terminal can show, such as ``+-`` for ``±``, so that printing never fails."""
    assert isinstance(error, UnicodeEncodeError)
    unprintable = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in unprintable), error.end


def print_table(
    rows: list[dict[str, Any]], title: str | None = None, *, whole: tuple[str, ...] = (), wide: bool = False
) -> None:
    """Print records as a table; the keys of the first are the columns, and those in ``whole`` are never wrapped.

    The table fits the terminal unless it is ``wide``.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in rows[0] if rows else ():
        number = all(_is_number(row[column]) for row in rows)
        table.add_column(
            str(column), justify="right" if number else "left", overflow="fold", no_wrap=wide or column in whole
        )
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    if not wide:
        console.print(table, no_wrap=False)
        return
    width = Measurement.get(console, console.options.update(width=10_000), table).maximum
    Console(markup=False, highlight=False, quiet=console.quiet, width=width).print(table)  # never wider than itself


def _is_number(value: Any) -> bool:
    """Whether a value is a number, or a text that begins like one; such columns are aligned right."""
    return isinstance(value, int | float) or bool(
        re.match(r"[+\N{MINUS SIGN}-]?\d|\N{EN DASH}$|$", "" if value is None else str(value))
    )


def print_legend(choices: Iterable[str], *, wide: bool = True) -> None:
    """Explain the short forms of these choices; with ``wide``, say how to see the long ones."""
    from chattn_nas.study.short import explained

    if said := explained(choices):
        say("; ".join(said) + (" (all of it: --wide)" if wide else ""))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
