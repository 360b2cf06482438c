"""The optimiser, the training step and the batches of one network, put together."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from chattn_nas.data import Data, TensorSet
from chattn_nas.device import move
from chattn_nas.proxy.average import Average
from chattn_nas.proxy.capture import Capture
from chattn_nas.proxy.criterion import criterion_of
from chattn_nas.proxy.distributed import DistributedContext
from chattn_nas.proxy.mixing import mixing_of
from chattn_nas.proxy.optimizer import Rates, build_optimizer, unless_counting
from chattn_nas.proxy.order import even_odds
from chattn_nas.proxy.resident import Resident
from chattn_nas.proxy.settings import ProxySettings
from chattn_nas.proxy.shared_step import SharedStep
from chattn_nas.proxy.step import TrainingStep
from chattn_nas.proxy.streamed import Streamed
from chattn_nas.tasks import task_of


def epochs_of(
    network: nn.Module,
    data: Data,
    settings: ProxySettings,
    generator: torch.Generator,
    capture: Capture | None = None,
    accumulate: int = 1,
    context: DistributedContext | None = None,
) -> Resident | Streamed:
    """Set up the training of one network, which is moved to the device of ``generator``.

    With a ``context`` of several processes all of them train it, each on its share of every batch.
    """
    device = generator.device
    # channels_last: forward and backward take 0.72 (ResNet-8, 16 px) and 0.70 (ResNet-20, 32 px) of their time in the
    # default format (2026-11-25, torch 2.14.1, one thread of an AMD EPYC), 0.86 on an H100.
    move(network, device)
    images, task = data.train.to(device), task_of(data)

    mixing = mixing_of(task, settings)

    def prepare(batch: TensorSet) -> tuple[Tensor, Tensor]:
        inputs, targets = task.prepare(batch, generator)
        return (inputs, targets) if mixing is None else mixing(inputs, targets, generator)

    optimizer = build_optimizer(network, settings, images=len(images))
    context = context or DistributedContext.alone(device)
    make_step = TrainingStep if context.size == 1 else partial(SharedStep, context)
    step = make_step(
        network, optimizer, prepare, task=task, accumulate=accumulate,
        criterion=criterion_of(task, settings, device), clip=settings.clip,
        average=Average(network, settings.ema) if settings.ema else None,
    )  # fmt: skip
    batch_size = context.batch(settings.batch_size, len(images))
    odds = even_odds(images.labels) if data.balanced else None
    make = Resident if isinstance(images, TensorSet) else Streamed
    capture = unless_counting(capture, optimizer)
    return make(step, images, batch_size, Rates(optimizer), generator, capture, odds=odds)  # type: ignore[arg-type]


def trained_by(epochs: Resident) -> nn.Module:
    """The network that is scored and kept: the moving average of the weights where there is one."""
    step = step_of(epochs)
    return step.network if step.average is None else step.average.module


def step_of(epochs: Resident) -> TrainingStep:
    """The training step that :func:`epochs_of` put in."""
    assert isinstance(epochs.step, TrainingStep)
    return epochs.step
