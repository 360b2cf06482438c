"""Processes of this machine: when one began, what it takes with all that it started, and how to end them together."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from chattn_nas.credentials import environment
from chattn_nas.openmp import short_waits
from chattn_nas.spec.plugins import handed_path

if TYPE_CHECKING:
    import psutil


def handed() -> dict[str, str]:
    """Environment variables for a process that we start: secrets, where modules lie, how long threads spin."""
    return environment() | handed_path() | short_waits()


def began(pid: int) -> float | None:
    """Seconds after boot at which a process began; ``None`` where there is none (or it is a zombie)."""
    import psutil  # on Linux it needs modules that reading a study shall not need

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return float(process.create_time() - psutil.boot_time())  # the clock may be set meanwhile
    return None


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped (SIGSTOP) and waits for somebody to let it go on."""
    import psutil

    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


def memory_of(pid: int) -> float:
    """GiB that a process and all that it started take; what several of them share is counted once."""
    import psutil

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        children = process.children(recursive=True)
        if not children:
            return float(process.memory_info().rss / 2**30)
        return sum(_own_part(one) for one in (process, *children)) / 2**30
    return 0.0


def _own_part(process: psutil.Process) -> float:
    import psutil

    with suppress(psutil.Error):
        try:
            full = process.memory_full_info()
        except psutil.AccessDenied:
            return float(process.memory_info().rss)
        return float(getattr(full, "pss", full.rss))  # Linux alone says how much of shared pages is whose
    return 0.0


def start_group(command: Sequence[str], output: IO[bytes], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a process that leads a group of its own: :func:`end_group` ends whatever it started with it."""
    apart: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(env), **apart)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process of :func:`start_group`, where it lives, and everything that it started."""
    import psutil

    children: list[psutil.Process] = []
    with suppress(psutil.Error):
        children = psutil.Process(process.pid).children(recursive=True)
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)  # its group is there while anyone of it lives
    for one in children:  # those that made groups of their own
        with suppress(psutil.Error):
            one.kill()
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()


def end_own_group() -> None:
    """Kill what this process started, and itself, where it leads a group of its own."""
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
