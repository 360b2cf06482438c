"""Devices by the names that specs and callers give them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from chattn_nas.errors import InputError

if TYPE_CHECKING:  # a spec that is refused needs none
    import torch
    from torch import nn


def resolve_device(device: torch.device | str) -> torch.device:
    """``auto`` is the first GPU where there is one, else the CPU.

    Raises:
        InputError: This machine has no such device.
    """
    import torch

    gpus = torch.cuda.device_count()
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    try:
        parsed = torch.device(device)
        present = parsed.type == "cpu" or (gpus > (parsed.index or 0) if parsed.type == "cuda" else _usable(parsed))
    except RuntimeError:  # no name of a device
        present = False
    if not present:
        possible = ["cpu", *(f"cuda:{index}" for index in range(gpus))]
        named = str(device)
        raise InputError(f"this machine has no device {named!r}", where=("device",), value=named, choices=possible)
    return parsed


def move(network: nn.Module, device: torch.device) -> None:
    """Move a network to a device, in place, with its weights of four dimensions in the format ``channels_last``."""
    import torch

    network.to(device)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.ndim == 4:  # ``network.to(memory_format=...)`` refuses those of five, as an nn.Conv3d has
            tensor.data = tensor.data.to(memory_format=torch.channels_last)


def cpu_count() -> int:
    """Number of CPUs that this process may use; containers and batch systems often grant fewer than exist."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _usable(device: torch.device) -> bool:
    import torch

    try:
        torch.empty(1, device=device)
    except Exception:  # each backend has its own
        return False
    return True
