"""Finds and ends every process of an NNI experiment by a mark in the environment, which all of them inherit.

The processes of one experiment belong to several process groups, and live on when their parent dies.
"""

from __future__ import annotations

import os
from contextlib import suppress

import psutil

from chattn_nas.search.nni.protocol import GRACE, MARK


def marked(mark: str) -> list[psutil.Process]:
    """The other processes of this user that carry the mark."""
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # gone meanwhile, or another user's
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                processes.append(process)
    return processes


def end(mark: str) -> None:
    """End all of them: SIGTERM first, then SIGKILL for those that are still alive seconds later.

    An experiment may start one more process while it ends, so this repeats until there is none.
    """
    while processes := marked(mark):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(processes, timeout=GRACE)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=GRACE)
