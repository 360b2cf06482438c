"""Which process runs a trial, and whether it still lives."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from chattn_nas.search.processes import began

#: Seconds within which two readings of when a process began are the same.
SAME = 1.0


def owner() -> str:
    """This process, told apart from every other one on any machine, and from a later one with its number."""
    pid = os.getpid()
    return f"{_machine()}/{pid}/{began(pid) or 0:.2f}"


def pid_of(name: str) -> int | None:
    """The process number, where the process runs or ran on this machine."""
    if name.count("/") < 2:
        return None
    machine, pid, _ = name.rsplit("/", 2)
    return int(pid) if machine == _machine() else None


def is_dead(name: str) -> bool:
    """Whether the process certainly ended: one of another machine is never known to have."""
    pid = pid_of(name)
    if pid is None:
        return False
    now = began(pid)
    try:
        return now is None or abs(now - float(name.rsplit("/", 1)[1])) > SAME
    except ValueError:  # an earlier version wrote it
        return False


def _machine() -> str:
    """Host, and on Linux boot and process name space: containers may share the first two."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text()[:8])
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(parts)
