"""Every error that chattn-nas raises on purpose.

::

    ChattnError                  anything below; exit code 1
    ├── InputError               the request is impossible; exit code 2
    │   ├── SpecError            ... in a YAML spec: carries file and line
    │   ├── BackboneError        ... of a backbone that cannot take attention
    │   ├── DataError            ... of a data set that is missing or malformed
    │   │   └── TooLargeError    ... or too large for the device
    │   ├── RunError             ... of a run directory or study that does not fit the request
    │   │   ├── StorageError     ... or of a storage that cannot be reached or written
    │   │   │   └── FullDiskError ... because its disk is full
    │   │   └── NewerFormatError ... or that a newer version of this package stored
    │   └── MissingExtraError    ... of a feature whose packages are not installed
    ├── SearchStopped            a search gave up: too many failures in a row
    ├── TrainingStopped          a training cannot go on
    │   └── ProcessLost          ... since another of the processes that train together has ended
    └── ExportError              an exported network could not be written or proved

A message is one sentence: what was met, and what is possible. ``InputError`` carries the place inside the
spec as a path of keys; :func:`chattn_nas.load_spec` turns it into a file and a line.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Characters of a message: what other libraries say may fill pages.
LONGEST = 4000
#: Largest number of possible names that is listed completely; of more, only the nearest are.
SHOWN = 40


class ChattnError(Exception):
    """Base of all errors raised on purpose."""

    exit_code = 1


class InputError(ChattnError):
    """The caller asked for something that is not possible.

    Args:
        message: One sentence that names the value met.
        where: Path of keys inside the spec, such as ``("space", "all", 1, "se", "reduction")``.
        value: The offending value, compared with ``choices`` for a did-you-mean.
        choices: What would have been possible.
    """

    exit_code = 2

    def __init__(
        self, message: str, *, where: tuple[str | int, ...] = (), value: Any = None, choices: Iterable[Any] = ()
    ) -> None:
        self.message = message.splitlines()[0][:LONGEST] if message else message
        self.where = where
        self.value = value
        self.choices = tuple(choices)
        super().__init__(self.message + self._hint())

    def _hint(self) -> str:
        if not self.choices:
            return ""
        names = [str(choice) for choice in self.choices]
        close = similar(str(self.value), names)
        if len(names) > SHOWN:
            listed = ", ".join(close[1:] or names[:SHOWN]) + f", ... ({len(names):,} in all)"
        else:
            listed = ", ".join(names)
        return (f"; did you mean {close[0]!r}?" if close else ";") + f" possible: {listed}"

    def at(self, *where: str | int) -> InputError:
        """This error with its place prefixed by ``where``: a room knows its own keys, its caller the rest."""
        self.where = (*where, *self.where)
        return self


def similar(value: str, names: list[str]) -> list[str]:
    """Names that may have been meant, nearest first: written alike, whatever the case, or holding what was written."""
    if close := difflib.get_close_matches(value, names, n=6):
        return close
    lower = {name.lower(): name for name in reversed(names)}
    close = [lower[one] for one in difflib.get_close_matches(value.lower(), lower, n=6)]
    return close or [name for name in names if len(value) > 1 and value.lower() in name.lower()][:6]


class SpecError(InputError):
    """A spec that cannot be used; ``str()`` starts with ``file:line:``."""

    def __init__(self, message: str, *, file: Path | str, line: int, **rest: Any) -> None:
        self.file, self.line = str(file), line
        super().__init__(message, **rest)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {super().__str__()}"


class BackboneError(InputError):
    """A backbone that does not exist, or in which attention cannot be placed."""


class DataError(InputError):
    """A data set that is missing or malformed."""


class TooLargeError(DataError):
    """A data set that does not fit the device."""


class RunError(InputError):
    """A run directory or study that does not fit what was asked."""


class StorageError(RunError):
    """A storage that cannot be reached or written, perhaps for a moment only."""


class FullDiskError(StorageError):
    """A disk that is full, the storage's or the run's: waiting makes no space."""


class NewerFormatError(RunError):
    """Something that a newer version of this package stored, in a format that this one does not know."""


class MissingExtraError(InputError):
    """An optional feature whose packages are not installed; the message holds the ``pip install`` line."""


class SearchStopped(ChattnError):
    """A search that gave up because trials kept failing; the message names the commonest reason."""


class TrainingStopped(ChattnError):
    """A training whose loss was not finite, or whose step failed."""


class ProcessLost(TrainingStopped):
    """Another of the processes that train one network together has ended; it has said why."""


class ExportError(ChattnError):
    """An exported network that could not be written, or that failed its own proof."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none: for a sentence of ours."""
    return str(error).strip().partition("\n")[0].strip() or type(error).__name__


def where_and_what(error: Exception) -> str:
    """An error in words, with the function and line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {first_line(error)} ({last.name}, line {last.lineno})"


@contextmanager
def in_one_sentence(
    kind: type[ChattnError], words: str, unless: Callable[[BaseException], bool] = lambda error: False
) -> Iterator[None]:
    """Turn what a user's own loss, head or optimizer raises, which may be anything, into an error of ours.

    Args:
        kind: The error's class.
        words: What failed; the rest of the sentence says where, and why.
        unless: Tells what passes unchanged, as errors of ours do.
    """
    try:
        yield
    except ChattnError:
        raise
    except Exception as error:
        if unless(error):
            raise
        raise kind(f"{words}: {where_and_what(error)}") from error


def unreadable(path: Path, error: OSError) -> RunError:
    """A file of a run that may well be whole: taken for missing, it would be made again at great cost, and lost."""
    return RunError(
        f"{path} cannot be read ({error.strerror or error}): see to it that it can, or remove it to make it again"
    )
