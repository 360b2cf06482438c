"""Trains and scores one network: from the uint8 tensor to the accuracy of every rung."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.data import Data, Normalize, TensorSet, augment
from chattn_nas.proxy.measurement import Measurement, Outcome, Rung
from chattn_nas.proxy.optimizer import build_optimizer, schedule
from chattn_nas.proxy.settings import ProxySettings

Report = Callable[[int, Rung], bool]


def resolve_device(device: str) -> torch.device:
    """``auto`` is the first GPU where there is one, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """bf16 where the device is fast at it: CUDA. CPUs without AMX are 10 times slower in it than in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def train(
    network: nn.Module,
    data: Data,
    settings: ProxySettings,
    *,
    seed: int,
    report: Report | None = None,
    device: torch.device | str | None = None,
) -> Measurement:
    """Train ``network`` in place through all rungs.

    Order and augmentation of the images come from a generator of their own, so that all networks trained with one
    seed see the same batches, whatever their attention draws.

    Args:
        network: In any mode, on any device.
        data: Where it lies does not matter; it is moved to the device.
        settings: Rungs, batch size, optimiser.
        seed: Of order and augmentation.
        report: Called after every rung with its index and result; returns ``True`` to stop.
        device: Overrides that of the settings.
    """
    device = torch.device(device) if device else resolve_device(settings.device)
    network.to(device)
    images = data.train.to(device)
    validation = data.validation.to(device)
    normalize = Normalize(data, device)
    generator = torch.Generator(device).manual_seed(seed)
    optimizer = build_optimizer(network, settings)
    peak = [group["lr"] for group in optimizer.param_groups]
    batch_size = min(settings.batch_size, len(images))
    steps = len(images) // batch_size

    def train_step(batch: TensorSet, factor: float) -> Tensor:
        for group, rate in zip(optimizer.param_groups, peak, strict=True):
            group["lr"] = rate * factor
        with autocast(device):
            logits = network(normalize(augment(batch.images, data.augmentation, generator)))
            loss = F.cross_entropy(logits.float(), batch.labels, label_smoothing=settings.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    started = time.perf_counter()
    training, loss_sum, rungs = 0.0, 0.0, []
    outcome, reason = Outcome.COMPLETE, ""
    for index, (start, end) in enumerate(zip([0, *settings.rungs], settings.rungs, strict=False)):
        network.train()
        begun = time.perf_counter()
        total = (end - start) * steps
        losses = [
            train_step(batch, schedule(step, total, settings.warmup))
            for step, batch in enumerate(_batches(images, batch_size, end - start, generator))
        ]
        loss_sum += float(torch.stack(losses).sum())  # the only wait for the device in a rung
        training += time.perf_counter() - begun
        accuracy, loss = evaluate(network, validation, data, batch_size=settings.batch_size, device=device)
        rungs.append(Rung(epoch=end, accuracy=accuracy, loss=loss))
        if not all(map(_finite, (loss_sum, loss))):
            outcome, reason = Outcome.DIVERGED, f"the loss was not finite in rung {index}"
            break
        if report is not None and report(index, rungs[-1]) and end != settings.rungs[-1]:
            outcome, reason = Outcome.PRUNED, f"stopped at rung {index} (epoch {end})"
            break
    epochs = rungs[-1].epoch
    return Measurement(
        outcome=outcome,
        reason=reason,
        rungs=tuple(rungs),
        train_loss_sum=loss_sum,
        seconds=time.perf_counter() - started,
        images_per_second=epochs * steps * batch_size / training,
        peak_memory=_peak_memory(device),
        seed=seed,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        versions={"torch": torch.__version__, "timm": timm.__version__},
    )


def _finite(value: float) -> bool:
    return value - value == 0


def _batches(images: TensorSet, batch_size: int, epochs: int, generator: torch.Generator) -> Iterator[TensorSet]:
    """Shuffled full batches of every epoch; what does not fill a batch is left out of that epoch."""
    for _ in range(epochs):
        order = torch.randperm(len(images), device=images.labels.device, generator=generator)
        for index in order[: len(images) // batch_size * batch_size].split(batch_size):
            yield images[index]


@torch.no_grad()
def evaluate(
    network: nn.Module, images: TensorSet, data: Data, *, batch_size: int, device: torch.device
) -> tuple[float, float]:
    """Top-1 accuracy (0 to 1) and mean cross-entropy of ``network`` on ``images``, in eval mode."""
    network.eval()
    normalize = Normalize(data, device)
    correct = torch.zeros((), device=device)
    loss = torch.zeros((), device=device)
    for start in range(0, len(images), batch_size):
        labels = images.labels[start : start + batch_size]
        with autocast(device):
            logits = network(normalize(images.images[start : start + batch_size])).float()
        correct += (logits.argmax(1) == labels).sum()
        loss += F.cross_entropy(logits, labels, reduction="sum")
    return float(correct) / len(images), float(loss) / len(images)


def _peak_memory(device: torch.device) -> int:
    """Bytes: of the device on CUDA, of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
