"""Which process runs a trial, and whether it still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def owner() -> str:
    """This process, told apart from every other one on any machine, and from a later one with its number."""
    pid = os.getpid()
    return f"{_machine()}/{pid}/{_started(pid)}"


def pid_of(name: str) -> int | None:
    """The process number, where the process runs or ran on this machine."""
    if name.count("/") < 2:
        return None
    machine, pid, _ = name.rsplit("/", 2)
    return int(pid) if machine == _machine() else None


def is_dead(name: str) -> bool:
    """Whether the process certainly ended: one of another machine is never known to have."""
    pid = pid_of(name)
    return pid is not None and _started(pid) != name.rsplit("/", 1)[1]


def _machine() -> str:
    """Host, boot and process name space: containers may share the first two."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{socket.gethostname()}/{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """When the process began, in ticks since boot; ``""`` where there is none (or it is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"
