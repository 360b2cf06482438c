"""Processes of this machine: their start time, the memory of a whole process tree, and how to end one."""

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
    """Environment variables for a process that we start: secrets, module folders, how long threads spin."""
    return environment() | handed_path() | short_waits()


def began(pid: int) -> float | None:
    """Seconds after boot at which a process began; ``None`` if there is no such process, or it is a zombie."""
    import psutil  # on Linux it needs modules that reading a study shall not need

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return float(process.create_time() - psutil.boot_time())  # the clock may be set meanwhile
    return None


def is_stopped(pid: int) -> bool:
    """Whether a process has been stopped (SIGSTOP) and not continued."""
    import psutil

    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


def memory_of(pid: int) -> float:
    """Memory in GiB of a process and everything that it started; shared memory counts once."""
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
    """Start a process as the leader of its own group, which :func:`end_group` ends as a whole."""
    apart: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(env), **apart)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process from :func:`start_group`, if it is alive, and everything that it started."""
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
    """Kill this process and everything that it started, if it leads its own group."""
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
