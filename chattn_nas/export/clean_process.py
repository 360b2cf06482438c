"""A process that may import only torch, in which exported files are proved."""

from __future__ import annotations

import atexit
import contextlib
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import torch

from chattn_nas.errors import ExportError
from chattn_nas.export import clean_interpreter, training_step

TIMEOUT = 300  # seconds for a process that imports torch and runs two small batches


class CleanProcess:
    """Runs :mod:`chattn_nas.export.clean_interpreter`, which imports torch once and forks for every proof.

    There is one at a time; it starts when it is first needed, and ends with this process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    def start(self) -> None:
        """Start the process, so that it imports torch while this one goes on."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", clean_interpreter.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # so that it and its children can be ended together
            )

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            _kill(self._process)
            self._process.communicate()
            self._process = None

    def run(self, what: Path, **given: Any) -> Any:
        """Run an exported file, and return its answer.

        Args:
            what: A ``model.py`` or a ``.pt2`` file.
            given: Inputs, as the script reads them.

        Raises:
            ExportError: The file fails, or takes longer than ``TIMEOUT``.
        """
        step = inspect.getsource(training_step)
        with self._lock, tempfile.TemporaryDirectory() as directory:
            file, messages = Path(directory) / "exchange.pt", Path(directory) / "messages"
            torch.save(given | {"threads": torch.get_num_threads(), "step": step}, file)
            status = self._ask([str(what.absolute()), str(file), str(messages)])
            if status == "0":
                return torch.load(file, weights_only=True)
            if status is None:
                raise ExportError(f"{what.name} did not answer within {TIMEOUT} s in a clean interpreter")
            said = messages.read_text(encoding="utf-8").strip() if messages.exists() else ""
            last = said.splitlines()[-1:] or [f"it ended with status {status or 'unknown'}"]
            raise ExportError(f"{what.name} fails in a clean interpreter: {last[0]}")

    def _ask(self, request: list[str]) -> str | None:
        """The exit status, empty if the process died; None if it took too long, and the process is ended."""
        self.start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(TIMEOUT, _kill, [process])
        late.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            status = process.stdout.readline().strip()
        except OSError:
            status = ""
        finally:
            expired = not late.is_alive()
            late.cancel()
        if not status:
            self.close()
        return None if expired else status


def _kill(process: subprocess.Popen[str]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


CLEAN = CleanProcess()
if hasattr(os, "register_at_fork"):  # a forked child must not talk to its parent's process
    os.register_at_fork(after_in_child=CLEAN.__init__)  # type: ignore[misc]
