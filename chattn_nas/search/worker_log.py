"""The log of a worker: a file of limited size, whose last lines are short enough to be stored."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from chattn_nas.study.texts import printable

#: Bytes after which a log is cut, and what is kept of it then.
LARGEST, KEPT = 8 << 20, 1 << 20
#: What is shown of a worker that died.
LINES, BYTES = 15, 4000


class WorkerLog:
    """``logs/worker-0.log`` of a run; the part that was last cut off is in ``worker-0.log.1``.

    Args:
        path: The file; created, with its folder, when a worker starts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(exist_ok=True)

    def last_lines(self) -> str:
        """The last lines, whatever they hold."""
        with suppress(OSError), self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - BYTES))
            lines = file.read().decode(errors="replace").splitlines()[-LINES:]
            said = printable("\n".join(lines), 4 * BYTES).rstrip()
            return said.encode()[-BYTES:].decode(errors="ignore")
        return ""

    def trim(self) -> None:
        """Cut the file if it has grown too large; its worker goes on appending at the new end."""
        with suppress(OSError):
            size = self.path.stat().st_size
            if size <= LARGEST:
                return
            with self.path.open("rb+") as file:
                file.seek(size - KEPT)
                self.path.with_name(f"{self.path.name}.1").write_bytes(file.read(KEPT))
                file.truncate(0)
