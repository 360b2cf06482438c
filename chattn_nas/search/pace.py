"""Measures how fast training is here, by a few real steps of a network, with reading and augmentation."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from chattn_nas.data import Normalize, sample_batch
from chattn_nas.device import cpu_count
from chattn_nas.errors import InputError, in_one_sentence
from chattn_nas.network.scales import scales_behind
from chattn_nas.proxy.capture import cuda_graphs
from chattn_nas.proxy.epochs import epochs_of
from chattn_nas.proxy.isolation import own_stream_and_state
from chattn_nas.proxy.memory import PeakMemory, is_out_of_memory
from chattn_nas.proxy.mode import train_mode
from chattn_nas.proxy.step import autocast
from chattn_nas.search.trainer import ProxyTrainer
from chattn_nas.space import Architecture

#: Steps before the clock starts: the first ones allocate, choose algorithms, and are captured.
WARM = 3
#: Keeps a core as busy as a worker on it would: two workers on two threads of one core are slower than one.
#: It ends with the process at the other end of its standard input, however that ends.
_BUSY = """
import numpy, os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
a = numpy.random.rand(160, 160)
while True: a = a @ a; a /= a.max()
"""
#: At most this many of them per CPU thread: the cost of further workers is computed, not measured.
_MOST_BUSY = 4


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The speed at which one worker trains one network.

    Attributes:
        network: The network that was timed, in words.
        build: Seconds to build it and to measure its costs and the scales of its maps, once per trial.
        step: Seconds per training step.
        evaluation: Seconds to score it on all validation images, once per rung.
        steps: Steps per epoch.
        memory: Peak memory in bytes, of the device on CUDA, of the process on a CPU.
    """

    network: str
    build: float
    step: float
    evaluation: float
    steps: int
    memory: int

    def seconds(self, rungs: Sequence[int], reached: int | None = None) -> float:
        """Seconds of a trial through the first ``reached`` of these rungs (epochs); all by default."""
        passed = rungs[:reached]
        return self.build + passed[-1] * self.steps * self.step + len(passed) * self.evaluation

    def times(self, factor: float) -> Pace:
        """The pace where everything takes ``factor`` times as long."""
        return replace(self, build=factor * self.build, step=factor * self.step, evaluation=factor * self.evaluation)


def pace(trainer: ProxyTrainer, architecture: Architecture, name: str, seconds: float = 1.0) -> Pace:
    """Train a network for about ``seconds``, and time it.

    Raises:
        InputError: It cannot be built or trained.
        torch.OutOfMemoryError: It does not fit into memory.
    """
    spec, data, device = trainer.spec, trainer.data, trainer.device
    begun = time.perf_counter()
    network = trainer.build(architecture.canonical(trainer.stages), seed=0)
    trainer.costs(network)
    batch = sample_batch(data)
    scales_behind(network, batch)
    scales_behind(network, batch)
    build = time.perf_counter() - begun
    in_words = in_one_sentence(InputError, f"{name} cannot be trained", unless=is_out_of_memory)
    with in_words, own_stream_and_state(device, seed=0), PeakMemory(device) as memory:
        generator = torch.Generator(device).manual_seed(0)
        capture = cuda_graphs(device, generator) if spec.proxy.cuda_graphs else None
        epochs = epochs_of(network, data, spec.proxy, generator, capture)
        train_mode(network)
        clock = _Clock(device, seconds)
        try:
            while True:
                epochs.epoch([0.0] * epochs.steps, clock.tick)
        except _Enough:
            step = clock.per_step
        images = data.validation[torch.arange(min(spec.proxy.batch_size, len(data.validation)))].images.to(device)
        forward = _forward(network, Normalize(data, device)(images), device)
    return Pace(
        network=name, build=build, step=step, steps=epochs.steps, memory=memory.bytes,
        evaluation=forward * len(data.validation) / len(images),
    )  # fmt: skip


class _Enough(Exception):
    """Enough steps have been timed."""


class _Clock:
    def __init__(self, device: torch.device, seconds: float) -> None:
        self.device, self.seconds, self.created = device, seconds, time.perf_counter()
        self.count, self.timed, self.begun, self.per_step = 0, 0, 0.0, 0.0

    def tick(self) -> None:
        """Count one step; raise :class:`_Enough` once the time is up."""
        self.count += 1
        if self.begun:
            self.timed += 1
        elif self.count >= WARM or time.perf_counter() - self.created > self.seconds:  # slow steps warm up in fewer
            _wait(self.device)
            self.begun = time.perf_counter()
            return
        if self.timed and time.perf_counter() - self.begun > self.seconds:
            _wait(self.device)
            self.per_step = (time.perf_counter() - self.begun) / self.timed
            raise _Enough


@torch.no_grad()
def _forward(network: torch.nn.Module, images: torch.Tensor, device: torch.device) -> float:
    network.eval()
    times = []
    with autocast(device):
        for _ in range(3):
            _wait(device)
            begun = time.perf_counter()
            network(images)
            _wait(device)
            times.append(time.perf_counter() - begun)
    return min(times[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def others_at_work(count: int, threads: int) -> Iterator[float]:
    """Keep CPU threads as busy inside the context as other workers would.

    Args:
        count: Threads of all other workers.
        threads: Threads of this one.

    Yields:
        How many times as long a step takes as it does in the context: more than 1 where there are more others than are
        worth starting.
    """
    started = min(count, _MOST_BUSY * cpu_count())
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    others = [
        subprocess.Popen(
            [sys.executable, "-c", _BUSY], env=environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for _ in range(started)
    ]
    try:
        yield (count + threads) / (started + threads)
    finally:
        for one in others:
            one.kill()
            one.communicate()
