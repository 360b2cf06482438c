"""Latency of networks, measured in turns: on a busy machine their ratio is reliable even if neither number is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from chattn_nas.errors import first_line
from chattn_nas.quiet import quiet

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds per batch, in eval mode.

    Attributes:
        median, low, high: Median and quartiles of the rounds.
        relative: Median over rounds of the ratio to the first network; that of the first is 1.
    """

    median: float
    low: float
    high: float
    relative: float


def measure_latency(
    networks: Sequence[nn.Module], images: Tensor, *, dtype: torch.dtype = torch.float32, seconds: float = 1.0,
    rounds: int = 8, graphs: bool = True,
) -> list[Latency]:  # fmt: skip
    """Time networks in turns, round after round, each warmed up.

    Args:
        networks: On the device of ``images``, in eval mode; the others are compared with the first.
        images: One batch (B, C, H, W).
        dtype: Below float32 the networks run under autocast.
        seconds: Time per network, over all rounds.
        rounds: Number of turns.
        graphs: On a GPU, replay CUDA graphs, as deployed networks do; eager if a network cannot be captured.
    """
    # Importing the timer imports torch's builder of extensions, which warns where nvcc is installed without a GPU.
    with quiet("torch.utils.cpp_extension"):
        from torch.utils.benchmark import Timer

    cast = dtype != torch.float32
    context = torch.autocast(images.device.type, dtype) if cast else nullcontext()
    with torch.no_grad(), context:
        runs = [
            _graphed(network, images) if graphs and images.is_cuda else _eager(network, images) for network in networks
        ]
        timers = [Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads()) for run in runs]
        for timer in timers:
            timer.timeit(3)
        times = [
            [timer.blocked_autorange(min_run_time=seconds / rounds).median for timer in timers] for _ in range(rounds)
        ]
    latencies = []
    for index in range(len(networks)):
        own_times = sorted(turn[index] for turn in times)
        latencies.append(
            Latency(
                median=median(own_times), low=own_times[len(own_times) // 4], high=own_times[-1 - len(own_times) // 4],
                relative=median(turn[index] / turn[0] for turn in times),
            )
        )  # fmt: skip
    return latencies


def _eager(network: nn.Module, images: Tensor) -> Callable[[], object]:
    return lambda: network(images)


def _graphed(network: nn.Module, images: Tensor) -> Callable[[], object]:
    try:
        for _ in range(3):
            network(images)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            network(images)
    except RuntimeError as error:
        log.warning("latency is measured without CUDA graphs: %s", first_line(error))
        return _eager(network, images)
    return graph.replay
