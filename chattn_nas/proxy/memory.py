"""Memory: recognises errors that say it ran out, and measures its use."""

from __future__ import annotations

import gc
import sys

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or the process could not allocate memory."""
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "out of memory" in str(error).lower()
        or "can't allocate memory" in str(error)
    )


def free_caches() -> None:
    """Free unused memory; call it outside the ``except`` block, whose error still holds the tensors."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def peak_memory(device: torch.device) -> int:
    """Peak memory in bytes: of the device since the last reset on CUDA, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource  # psutil 7 tells a peak on Windows only; after a training it may be a tenth above what is used
    except ImportError:
        import psutil

        used = psutil.Process().memory_info()
        return int(getattr(used, "peak_wset", used.rss))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
