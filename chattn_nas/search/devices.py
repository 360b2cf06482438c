"""Device slots: the device of every worker, and its share of the CPU's threads."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from chattn_nas.spec.search_settings import SearchSettings


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


def cpus() -> int:
    """Number of CPUs that this process may use; containers and batch systems often grant fewer than exist."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    set_by_user = os.environ.get("OMP_NUM_THREADS", "")
    return min(allowed, int(set_by_user)) if set_by_user.isdigit() and int(set_by_user) > 0 else allowed


def _visible(device: str) -> list[str]:
    if device == "auto":
        gpus = torch.cuda.device_count()
        return [f"cuda:{index}" for index in range(gpus)] or ["cpu"]
    return [device]
