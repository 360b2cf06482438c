"""Names the process that runs a trial, and tells whether it is still alive."""

from __future__ import annotations

import os
import socket

from chattn_nas.search.processes import began

#: Seconds within which two readings of when a process began are the same.
SAME = 1.0
#: Seconds by which the time of boot may change while a clock is corrected.
CLOCK = 60.0


def owner() -> str:
    """A name for this process, unique over machines and over later processes with the same number."""
    host, boot, first = _machine()
    pid = os.getpid()
    return f"{host}/{boot:.0f}/{first:.2f}/{pid}/{began(pid) or 0:.2f}"


def pid_of(name: str) -> int | None:
    """The process number, if the process runs or ran on this machine."""
    try:
        host, boot, first, pid, _ = name.split("/")
        here = _machine()
        same = abs(float(boot) - here[1]) <= CLOCK and abs(float(first) - here[2]) <= SAME
        return int(pid) if host == here[0] and same else None
    except ValueError:  # an earlier version wrote it, or nobody
        return None


def is_dead(name: str) -> bool:
    """Whether the process is known to have ended; of another machine's processes that is never known."""
    pid = pid_of(name)
    if pid is None:
        return False
    now = began(pid)
    try:
        return now is None or abs(now - float(name.rsplit("/", 1)[1])) > SAME
    except ValueError:  # an earlier version wrote it
        return False


def _machine() -> tuple[str, float, float]:
    """The host, its boot time, and the start time of the first process in this namespace.

    Two hosts, or the containers of one host, may share a name; process 1 is each container's own.
    """
    import psutil  # not where a study is only read

    return socket.gethostname().replace("/", "-"), psutil.boot_time(), began(1) or 0.0
