"""Repairs a journal file in which a process has left half a line, before the next one is written."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from chattn_nas.errors import StorageError
from chattn_nas.study._optuna import ToldJournal, locked

#: Bytes read at a time from the end, looking for the last whole line.
PIECE = 1 << 16


class WholeLines(JournalFileBackend):
    """Optuna's journal, without unfinished lines.

    A power failure or a full disk can leave an unfinished line. Optuna skips it while it is the last one, but can read
    nothing any more once another process has written behind it. So whoever opens the file or writes to it first cuts
    the unfinished line off, under the lock that all writers take.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, lock_obj=JournalFileSymlinkLock(path))
        if os.access(self.path, os.W_OK):
            with locked(self):
                _cut_unfinished_line(self.path)
        if not _is_json(_last_line(self.path)):  # Optuna would pass over it, too
            raise self.damaged(_whole_lines(self.path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append logs as Optuna does, behind a complete line."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with locked(self):
            try:
                _cut_unfinished_line(self.path)
                with self.path.open("ab") as file:
                    file.write(lines.encode())
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:  # Python names no file
                raise OSError(error.errno, os.strerror(error.errno or 0), str(self.path)) from error

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Read logs as Optuna does.

        Raises:
            StorageError: A line other than the last cannot be read.
        """
        try:
            yield from super().read_logs(log_number_from)
        except ValueError as error:
            raise self.damaged(_whole_lines(self.path)) from error

    def damaged(self, whole: int) -> StorageError:
        """The sentence about a damaged file with ``whole`` good lines."""
        return StorageError(
            f"the journal {self.path} is damaged after {whole} whole lines: put back a copy of it, or keep those "
            f"lines with 'head -n {whole}'"
        )


def open_journal(path: str) -> JournalStorage:
    """Open a journal file as a storage.

    Raises:
        StorageError: The file is damaged.
    """
    file = WholeLines(path)
    return ToldJournal(file, lambda line, error: file.damaged(line - 1))


def _whole_lines(path: Path) -> int:
    with path.open("rb") as file:
        return next((number for number, line in enumerate(file) if not _is_json(line)), 0)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line or b"0")
    except ValueError:
        return False
    return True


def _last_line(path: Path) -> bytes:
    """The last complete line, empty if there is none."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        tail, begin = b"", end
        while begin > 0 and tail.count(b"\n") < 3:
            begin = max(0, begin - PIECE)
            file.seek(begin)
            tail = file.read(end - begin)
    lines = tail.split(b"\n")
    return lines[-2] if len(lines) > 1 else b""


def _cut_unfinished_line(path: Path) -> None:
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        if end == 0:
            return
        file.seek(end - 1)
        if file.read(1) == b"\n":
            return
        whole = end
        while whole > 0:
            begin = max(0, whole - PIECE)
            file.seek(begin)
            at = file.read(whole - begin).rfind(b"\n")
            if at >= 0:
                whole = begin + at + 1
                break
            whole = begin
        file.truncate(whole)
