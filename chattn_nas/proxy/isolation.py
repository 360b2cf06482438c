"""A training that leaves the random state of the process alone, and runs on a CUDA stream of its own."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_stream_and_state(device: torch.device, seed: int) -> Iterator[None]:
    """Seed the random numbers of layers (dropout, drop path); the global state is restored at the end.

    On a GPU everything runs on a stream of its own, which capture needs, and with cuDNN's deterministic algorithms: the
    same seed gives the same numbers.
    """
    if device.type != "cuda":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
        return
    torch.backends.cudnn.deterministic = True
    with torch.cuda.device(device), torch.random.fork_rng(devices=[torch.cuda.current_device()]):
        torch.manual_seed(seed)
        before, own = torch.cuda.current_stream(), torch.cuda.Stream()
        own.wait_stream(before)
        with torch.cuda.stream(own):
            yield
        before.wait_stream(own)
        gc.collect()  # graphs and what they hold are in cycles with what they were captured from
