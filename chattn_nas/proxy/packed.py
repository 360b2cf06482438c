"""Several networks trained at once on one device: on a GPU as parallel branches of one CUDA graph.

A small network leaves most of a GPU idle, since each of its kernels is shorter than the way to the next one. Here one
graph holds a step of every network, each on a stream of its own, so that their kernels run beside each other. Every
network keeps its own order, augmentation and optimiser: on a CPU its result is that of ``train`` alone, to the bit.
Layers that draw (dropout, drop path) draw from the one state of the process, so networks with such are refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from timm.layers import DropPath
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from chattn_nas.data import Data
from chattn_nas.errors import InputError
from chattn_nas.proxy._evaluate import Evaluation
from chattn_nas.proxy.capture import Replayed, cuda_graphs
from chattn_nas.proxy.epochs import epochs_of, step_of, trained_by
from chattn_nas.proxy.isolation import own_stream_and_state
from chattn_nas.proxy.measurement import Measurement, Outcome, Rung
from chattn_nas.proxy.mode import train_mode
from chattn_nas.proxy.optimizer import unless_counting
from chattn_nas.proxy.provenance import provenance_of
from chattn_nas.proxy.resident import Resident
from chattn_nas.proxy.schedule import factors
from chattn_nas.proxy.settings import ProxySettings

#: Images scored at a time: evaluation is not captured here, so few large batches are faster.
SCORED = 2048


def train_packed(
    networks: Sequence[nn.Module],
    data: Data,
    settings: ProxySettings,
    *,
    seeds: Sequence[int],
    device: torch.device | str,
    after_epoch: Callable[[int, list[float]], None] | None = None,
) -> list[Measurement]:
    """Train ``networks`` in place through all rungs, side by side.

    Args:
        networks: In any mode, on any device.
        data: Moved to the device.
        settings: As for ``train``; ``patience`` is not looked at.
        seeds: One per network, of the order and augmentation of its images.
        device: To train on.
        after_epoch: Called with the number of epochs so far and every network's mean training loss in the last epoch.

    Raises:
        InputError: The images are read from disk batch by batch, or layers draw (dropout, drop path).

    Returns:
        One measurement per network. ``seconds`` and ``images_per_second`` are its share of the whole; memory cannot be
        divided and is left out. A network that diverges is marked so, and goes on to the end with the others.
    """
    device = torch.device(device)
    if settings.drop_path or any(map(_draws, networks)):
        raise InputError(
            "networks with dropout or drop path are not packed: side by side they would draw from one state, and so "
            "learn something else than alone; train them one by one"
        )
    with own_stream_and_state(device, seeds[0]):
        return _train(networks, data, settings, seeds, device, after_epoch)


def _draws(network: nn.Module) -> bool:
    """Whether a layer draws random numbers in training, such as the dropout before the classifier in timm's models."""
    return any(
        (isinstance(module, _DropoutNd) and module.p)
        or (isinstance(module, DropPath) and module.drop_prob)
        or getattr(module, "drop_rate", 0.0)
        for module in network.modules()
    )


def _train(
    networks: Sequence[nn.Module],
    data: Data,
    settings: ProxySettings,
    seeds: Sequence[int],
    device: torch.device,
    after_epoch: Callable[[int, list[float]], None] | None,
) -> list[Measurement]:
    # On one device once, for all of them.
    data = replace(data, train=data.train.to(device), validation=data.validation.to(device))
    generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    branches = []
    for network, generator in zip(networks, generators, strict=True):
        branch = epochs_of(network, data, settings, generator)
        if not isinstance(branch, Resident):
            raise InputError("networks are packed only over images that lie on the device as a whole")
        branches.append(branch)
    averages = [trained_by(branch) for branch in branches]
    evaluations = [Evaluation(network, data.validation, data, SCORED) for network in averages]
    capture = cuda_graphs(device, *generators) if settings.cuda_graphs else None
    capture = unless_counting(capture, *(step_of(branch).optimizer for branch in branches))
    advance = Replayed(_side_by_side([branch.advance for branch in branches], device), capture)

    started = time.perf_counter()
    training, trained = 0.0, 0
    sums = [0.0] * len(networks)
    rungs: list[list[Rung]] = [[] for _ in networks]
    steps = branches[0].steps
    for start, end in zip([0, *settings.rungs], settings.rungs, strict=False):
        for network in networks:
            train_mode(network)
        begun = time.perf_counter()
        total = (end - start) * steps
        rates = factors(settings, total)
        for epoch in range(end - start):
            for branch in branches:
                branch.begin(rates[epoch * steps : (epoch + 1) * steps])
            for _ in range(steps):
                advance()
            losses = [float(branch.loss_sum) for branch in branches]
            sums = [known + new for known, new in zip(sums, losses, strict=True)]
            trained += 1
            if after_epoch is not None:
                after_epoch(trained, [loss / steps for loss in losses])
        training += time.perf_counter() - begun
        for reached, evaluation in zip(rungs, evaluations, strict=True):
            score, loss = evaluation()
            reached.append(Rung(epoch=trained, score=score, loss=loss))
    for network, average in zip(networks, averages, strict=True):
        if average is not network:
            network.load_state_dict(average.state_dict())
    share = (time.perf_counter() - started) / len(networks)
    speed = trained * steps * branches[0].batch_size * len(networks) / training
    return [
        Measurement(
            outcome=Outcome.COMPLETE if _finite(loss_sum, reached) else Outcome.DIVERGED,
            reason="" if _finite(loss_sum, reached) else "the loss was not finite",
            rungs=tuple(reached),
            train_loss_sum=loss_sum,
            seconds=share,
            images_per_second=speed / len(networks),
            seed=seed,
            **provenance_of(device),
        )
        for loss_sum, reached, seed in zip(sums, rungs, seeds, strict=True)
    ]


def _side_by_side(works: Sequence[Callable[[], None]], device: torch.device) -> Callable[[], None]:
    """Run all of ``works``, each on its own stream, which starts at the current one and joins it again."""

    def one_by_one() -> None:
        for work in works:
            work()

    if device.type != "cuda":
        return one_by_one
    streams = [torch.cuda.Stream(device) for _ in works]

    def in_parallel() -> None:
        here = torch.cuda.current_stream()
        for work, stream in zip(works, streams, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                work()
        for stream in streams:
            here.wait_stream(stream)

    return in_parallel


def _finite(loss_sum: float, rungs: Sequence[Rung]) -> bool:
    return all(value - value == 0 for value in (loss_sum, *(rung.loss for rung in rungs)))
