"""The final training: the proxy's step over all epochs of one schedule, with checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import timm
import torch
from timm.utils import ModelEmaV3
from torch import nn

from chattn_nas.errors import TrainingStopped
from chattn_nas.network.build import derived_seed
from chattn_nas.network.weights import write_weights
from chattn_nas.proxy import ProxySettings
from chattn_nas.proxy._train import own_stream_and_state
from chattn_nas.proxy.capture import cuda_graphs
from chattn_nas.proxy.mode import train_mode
from chattn_nas.proxy.optimizer import Rates, build_optimizer, schedule
from chattn_nas.proxy.step import TrainingStep
from chattn_nas.spec.training_settings import TrainingSettings
from chattn_nas.training.checkpoint import Checkpoint, Header, read_checkpoint, restore, states_of
from chattn_nas.training.distributed import DistributedContext
from chattn_nas.training.log import Log
from chattn_nas.training.prepare import Prepare
from chattn_nas.training.result import WEIGHTS, TrainingResult, read_result
from chattn_nas.training.training_data import TrainingData

Row = dict[str, Any]


def train_fully(
    network: nn.Module,
    training_data: TrainingData,
    recipe: ProxySettings,
    settings: TrainingSettings,
    *,
    seed: int,
    directory: Path,
    plan: dict[str, Any],
    context: DistributedContext,
    on_epoch: Callable[[Row], None] = lambda row: None,
) -> TrainingResult:
    """Train ``network`` in place, or go on with the training in ``directory``; score it on the test set at the end.

    All that is random in an epoch is drawn under seeds that ``seed`` and the number of the epoch give, so a training
    that was killed goes on as if nothing had happened: on a CPU with as many threads to the same bits.

    Args:
        network: As built; the same in all processes.
        training_data: The images.
        recipe: ``settings.recipe`` of the proxy.
        settings: What a final training has beside it.
        seed: Seeds the order, the augmentation and what layers draw.
        directory: Takes ``checkpoint.pt``, ``log.csv``, ``weights.safetensors`` and ``result.json``.
        plan: What is trained and how: a checkpoint of another one is refused.
        context: The processes that train.
        on_epoch: Called with the row of every epoch.

    Raises:
        RunError: The directory holds a training of another plan.
        MissingExtraError: TensorBoard is asked for and not installed.
        TrainingStopped: The loss was not finite.
    """
    device, total = context.device, recipe.rungs[-1]
    share = context.share(recipe.batch_size)
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint = read_checkpoint(directory, plan)
    log = (
        Log(directory, settings.tensorboard, list(checkpoint.header.rows) if checkpoint else [])
        if context.is_first
        else None
    )
    with own_stream_and_state(device, seed):
        network.to(device).to(memory_format=torch.channels_last)
        optimizer = build_optimizer(network, recipe, images=training_data.images)
        rates = Rates(optimizer)
        ema = ModelEmaV3(network, settings.ema, use_warmup=True) if settings.ema else None
        if checkpoint is not None:
            restore(checkpoint, network, optimizer, ema and ema.module)
        order, crops = torch.Generator(device), torch.Generator(device)
        facts = training_data.facts
        prepare = Prepare(settings, facts.task, crops)
        step = TrainingStep(
            context.wrap(network),
            optimizer,
            prepare,
            task=facts.task,
            criterion=facts.task.criterion(device, label_smoothing=recipe.label_smoothing),
            clip=settings.clip,
        )
        capture = cuda_graphs(device, crops) if recipe.cuda_graphs else None
        if prepare.draws_on_host or context.size > 1:
            capture = None
        epochs = training_data.epochs(step, recipe.batch_size, rates, order, capture, context)
        done = checkpoint.header.epoch if checkpoint is not None else 0
        factors = [schedule(number, total * epochs.steps, recipe.warmup) for number in range(total * epochs.steps)]
        steps = count(done * epochs.steps + 1)

        def after() -> None:
            if ema is not None:
                ema.update(network, step=next(steps))

        for epoch in range(done, total):
            order.manual_seed(derived_seed(seed, "order", epoch))
            crops.manual_seed(derived_seed(seed, "crops", epoch, context.rank))
            torch.manual_seed(derived_seed(seed, "layers", epoch, context.rank))
            train_mode(network)
            started = time.perf_counter()
            loss = epochs.epoch(factors[epoch * epochs.steps : (epoch + 1) * epochs.steps], after) / epochs.steps
            if loss - loss != 0:
                raise TrainingStopped(
                    f"the loss was not finite in epoch {epoch + 1}: a smaller training.learning_rate or training.clip "
                    "may do"
                )
            if log is None:
                continue
            row: Row = {"epoch": epoch + 1, "train_loss": loss, "seconds": time.perf_counter() - started}
            if not settings.with_validation:
                trained = ema.module if ema is not None else network
                row["score"], row["loss"] = training_data.validate(trained, share)
            log.add(row)
            on_epoch(row)
            if (epoch + 1) % settings.checkpoint_every == 0 or epoch + 1 == total:
                Checkpoint(
                    header=Header(plan=plan, epoch=epoch + 1, rows=log.rows), network=network.state_dict(),
                    optimizer=states_of(optimizer), ema=ema.module.state_dict() if ema is not None else None,
                ).write(directory)  # fmt: skip
        if ema is not None:
            network.load_state_dict(ema.module.state_dict())
        return _finish(network, training_data, share, directory, plan, log, context)


def _finish(
    network: nn.Module, training_data: TrainingData, batch_size: int, directory: Path, plan: dict[str, Any],
    log: Log | None, context: DistributedContext,
) -> TrainingResult:  # fmt: skip
    """Write weights and result; every process returns what the first one wrote."""
    if log is not None:
        log.close()
        write_weights(network, directory / WEIGHTS)
        score, loss = training_data.test(network, batch_size)
        last = log.rows[-1]
        TrainingResult(
            plan=plan, test_score=score, test_loss=loss, score=last.get("score"), loss=last.get("loss"),
            seconds=sum(row["seconds"] for row in log.rows), date=date.today().isoformat(),
            device=torch.cuda.get_device_name(context.device) if context.device.type == "cuda" else "cpu",
            versions={"torch": torch.__version__, "timm": timm.__version__},
        ).write(directory)  # fmt: skip
    context.wait()
    found = read_result(directory)
    assert found is not None
    return found
