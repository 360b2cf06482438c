"""Device slots: the device of every worker, and its share of the CPU's threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch

from chattn_nas.device import cpu_count
from chattn_nas.errors import InputError
from chattn_nas.spec.search_settings import SearchSettings

#: Bytes that a process has to itself once it has imported what a worker needs (0.45 GiB with torch 2.14, 2026-11-27).
WORKER_MEMORY = 3 * 2**27


@dataclass(frozen=True)
class Slot:
    """A place for one worker.

    Attributes:
        index: From 0.
        device: ``cpu``, ``cuda:0``, ...
        threads: CPU threads of the worker.
    """

    index: int
    device: str
    threads: int


def device_slots(settings: SearchSettings, device: str = "auto") -> list[Slot]:
    """Return the slots of this machine.

    Every device gets ``trials_per_device`` slots; ``workers`` takes the first of them, and goes round again if it needs
    more. The CPU's threads are divided among all slots: two workers with all threads each are slower than one.

    Args:
        settings: Devices, workers, trials per device.
        device: The proxy's device, used if the search names none.
    """
    devices = settings.devices or _visible(device)
    places = [name for _ in range(settings.trials_per_device) for name in devices]
    count = len(places) if settings.workers is None else settings.workers
    threads = max(1, cpus() // max(1, count))
    return [Slot(index, places[index % len(places)], threads) for index in range(count)]


def refuse_too_many(slots: Sequence[Slot]) -> None:
    """Refuse more workers than this machine's memory holds, whatever they train.

    Raises:
        InputError: It does not hold them.
    """
    memory = psutil.virtual_memory().total
    most = max(1, memory // WORKER_MEMORY)
    if len(slots) > most:
        raise InputError(
            f"{len(slots)} workers do not fit into the {memory / 2**30:.0f} GiB of memory of this machine: each takes "
            f"{WORKER_MEMORY / 2**30:.1f} GiB before it trains, so {most} are the most",
            where=("search", "workers"),
        )


def cpus() -> int:
    """Number of threads for all workers of this machine: one per CPU, or fewer where ``OMP_NUM_THREADS`` says so."""
    allowed = cpu_count()
    set_by_user = os.environ.get("OMP_NUM_THREADS", "")
    return min(allowed, int(set_by_user)) if set_by_user.isdigit() and int(set_by_user) > 0 else allowed


def _visible(device: str) -> list[str]:
    if device == "auto":
        gpus = torch.cuda.device_count()
        return [f"cuda:{index}" for index in range(gpus)] or ["cpu"]
    return [device]
