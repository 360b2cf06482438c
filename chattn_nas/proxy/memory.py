"""Memory: recognises errors that say it ran out, and measures its use."""

from __future__ import annotations

import gc
import threading

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


class PeakMemory:
    """The most memory that is used while its context is open: of the device on CUDA, of this process elsewhere.

    CUDA tells the peak since its last reset. A process has none that begins anew, and psutil tells none on Unix, so a
    thread looks at what it holds, 50 times per second.

    Attributes:
        bytes: The peak, once the context is closed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._ended, self.bytes = device, threading.Event(), 0

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            self._thread = threading.Thread(target=self._watch, name="peak memory", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self._device)
        else:
            self._ended.set()
            self._thread.join()

    def _watch(self) -> None:
        import psutil  # imports ``resource`` on Linux; exports of what is trained need neither

        process = psutil.Process()
        while True:
            self.bytes = max(self.bytes, process.memory_info().rss)
            if self._ended.wait(0.02):
                return
