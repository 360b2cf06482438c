"""Trains and scores one network: from the uint8 tensor to the accuracy of every rung."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from chattn_nas.data import Data
from chattn_nas.device import resolve_device
from chattn_nas.proxy import pulse
from chattn_nas.proxy._evaluate import Evaluation
from chattn_nas.proxy.capture import cuda_graphs
from chattn_nas.proxy.drop_path import dropped
from chattn_nas.proxy.epochs import epochs_of, trained_by
from chattn_nas.proxy.isolation import own_stream_and_state
from chattn_nas.proxy.measurement import Measurement, Outcome, Rung
from chattn_nas.proxy.memory import PeakMemory
from chattn_nas.proxy.mode import train_mode
from chattn_nas.proxy.provenance import provenance_of
from chattn_nas.proxy.schedule import factors
from chattn_nas.proxy.settings import ProxySettings
from chattn_nas.tasks import task_of

Report = Callable[[int, Rung], bool]


def train(
    network: nn.Module,
    data: Data,
    settings: ProxySettings,
    *,
    seed: int,
    report: Report | None = None,
    device: torch.device | str | None = None,
    accumulate: int = 1,
) -> Measurement:
    """Train ``network`` in place through all rungs.

    Order and augmentation of the images come from a generator of their own, so that all networks trained with one
    seed see the same batches, whatever their attention draws.

    Args:
        network: In any mode, on any device.
        data: The data set, on any device; it is moved.
        settings: Rungs, batch size, optimiser.
        seed: Seeds the order and the augmentation.
        report: Called after every rung with its index and result; returns ``True`` to stop.
        device: Device in place of that of the settings.
        accumulate: Number of parts that each batch is split into, to save memory.
    """
    device = torch.device(device) if device else resolve_device(settings.device)
    with own_stream_and_state(device, seed), PeakMemory(device) as memory, dropped(network, settings.drop_path):
        measured = _train(network, data, settings, seed, report, device, accumulate)
    return replace(measured, peak_memory=memory.bytes)


def _train(
    network: nn.Module,
    data: Data,
    settings: ProxySettings,
    seed: int,
    report: Report | None,
    device: torch.device,
    accumulate: int,
) -> Measurement:
    generator = torch.Generator(device).manual_seed(seed)
    capture = cuda_graphs(device, generator) if settings.cuda_graphs else None
    resident = epochs_of(network, data, settings, generator, capture, accumulate)
    result = trained_by(resident)
    evaluation = Evaluation(result, data.validation.to(device), data, settings.batch_size, capture)

    started, beat = time.perf_counter(), pulse.beat(settings.rungs[-1], resident.steps, resident.batch_size)
    training, trained, loss_sum = 0.0, 0, 0.0
    first_epoch_loss: float | None = None
    rungs: list[Rung] = []
    outcome, reason = Outcome.COMPLETE, ""
    for index, (start, end) in enumerate(zip([0, *settings.rungs], settings.rungs, strict=False)):
        train_mode(network)
        begun = time.perf_counter()
        total = (end - start) * resident.steps
        rates = factors(settings, total)
        for epoch in range(end - start):
            loss_sum += resident.epoch(rates[epoch * resident.steps : (epoch + 1) * resident.steps], beat)
            trained += 1
            if trained == 1:
                first_epoch_loss = loss_sum / resident.steps
            if not _finite(loss_sum):
                break
        training += time.perf_counter() - begun
        pulse.tell("scoring")
        score, loss = evaluation()
        last = {"figures": evaluation.figures()} if end == settings.rungs[-1] and _finite(loss) else {}
        rungs.append(Rung(epoch=trained, score=score, loss=loss, **last))
        if not all(map(_finite, (loss_sum, loss))):
            outcome, reason = Outcome.DIVERGED, f"the loss was not finite in rung {index} (epoch {trained})"
            break
        if settings.patience == "diverged" and index == 0:
            task = task_of(data)
            chance = task.floor()
            if chance is not None and score <= chance["score"] + 1e-6:  # means of float32
                message = f"{task.unit.title} {task.unit.text(score)} after the first rung is chance: no better"
                outcome, reason = Outcome.DIVERGED, f"{message} than {chance['by']}"
                break
        if report is not None and report(index, rungs[-1]) and end != settings.rungs[-1]:
            outcome, reason = Outcome.PRUNED, f"stopped at rung {index} (epoch {end})"
            break
    if result is not network:
        network.load_state_dict(result.state_dict())
    return Measurement(
        outcome=outcome,
        reason=reason,
        rungs=tuple(rungs),
        train_loss_sum=loss_sum,
        first_epoch_loss=first_epoch_loss,
        seconds=time.perf_counter() - started,
        images_per_second=trained * resident.steps * resident.batch_size / training,
        accumulate=accumulate,
        seed=seed,
        **provenance_of(device),
    )


def _finite(value: float) -> bool:
    return value - value == 0
