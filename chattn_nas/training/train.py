"""The final training: the proxy's step over all epochs of one schedule, with checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import nn

from chattn_nas.device import move
from chattn_nas.errors import TrainingStopped, in_one_sentence
from chattn_nas.network.build import derived_seed
from chattn_nas.network.weights import write_weights
from chattn_nas.proxy import DistributedContext, ProxySettings
from chattn_nas.proxy.average import Average
from chattn_nas.proxy.capture import cuda_graphs
from chattn_nas.proxy.criterion import criterion_of
from chattn_nas.proxy.drop_path import dropped
from chattn_nas.proxy.isolation import own_stream_and_state
from chattn_nas.proxy.mixing import mixing_of
from chattn_nas.proxy.mode import train_mode
from chattn_nas.proxy.optimizer import Rates, build_optimizer, unless_counting
from chattn_nas.proxy.provenance import provenance_of
from chattn_nas.proxy.schedule import factors
from chattn_nas.proxy.step import TrainingStep
from chattn_nas.training.checkpoint import Checkpoint, Header, read_checkpoint, restore, states_of
from chattn_nas.training.log import Log
from chattn_nas.training.prepare import Prepare
from chattn_nas.training.result import WEIGHTS, TrainingResult, read_result
from chattn_nas.training.training_data import TrainingData

Row = dict[str, Any]


def train_fully(
    network: nn.Module,
    training_data: TrainingData,
    recipe: ProxySettings,
    *,
    seed: int,
    directory: Path,
    plan: dict[str, Any],
    context: DistributedContext,
    on_epoch: Callable[[Row], None] = lambda row: None,
) -> TrainingResult:
    """Train ``network`` in place, or resume the training in ``directory``; score it on the test set at the end.

    Args:
        network: The new network, the same in all processes.
        training_data: The images, and the settings of the final training besides the recipe.
        recipe: ``settings.recipe`` of the proxy.
        seed: Seeds the order, the augmentation, and layers that draw random numbers.
        directory: Folder for ``checkpoint.pt``, ``log.csv``, ``weights.safetensors`` and ``result.json``.
        plan: What is trained, and how; a checkpoint of another plan is refused.
        context: The processes that train.
        on_epoch: Called with the row of every epoch.

    Raises:
        RunError: The directory holds a training of another plan.
        MissingExtraError: TensorBoard is requested but not installed.
        TrainingStopped: The loss was not finite, or an epoch failed.
    """
    settings, share = training_data.settings, context.share(recipe.batch_size)
    directory.mkdir(parents=True, exist_ok=True)
    checkpoint = read_checkpoint(directory, plan)
    rows = list(checkpoint.header.rows) if checkpoint is not None else []
    log = Log(directory, settings.tensorboard, rows) if context.is_first else None
    with own_stream_and_state(context.device, seed), dropped(network, recipe.drop_path):
        session = _Session(network, training_data, recipe, seed, context, checkpoint)
        for epoch in range(session.done, session.total):
            started = time.perf_counter()
            with in_one_sentence(TrainingStopped, f"epoch {epoch + 1} failed"):
                loss = session.train(epoch)
            if log is None:
                continue
            row: Row = {"epoch": epoch + 1, "train_loss": loss, "seconds": time.perf_counter() - started}
            if not settings.with_validation:
                row["score"], row["loss"] = training_data.validate(session.trained, share)
            log.add(row)
            on_epoch(row)
            if (epoch + 1) % settings.checkpoint_every == 0 or epoch + 1 == session.total:
                session.checkpoint(Header(plan=plan, epoch=epoch + 1, rows=log.rows)).write(directory)
        if session.trained is not network:
            network.load_state_dict(session.trained.state_dict())
        return _finish(network, training_data, share, directory, plan, log, context)


class _Session:
    """The state that the epochs of one session share: optimiser, moving average, generators, and the training step.

    Everything random in an epoch follows from ``seed`` and the number of the epoch, so a training that was killed
    resumes as if nothing had happened: to the bit, on a CPU with the same number of threads.

    Attributes:
        done, total: Number of epochs of earlier sessions, and of the whole schedule.
    """

    def __init__(
        self, network: nn.Module, training_data: TrainingData, recipe: ProxySettings, seed: int,
        context: DistributedContext, checkpoint: Checkpoint | None,
    ) -> None:  # fmt: skip
        settings, task, device = training_data.settings, training_data.facts.task, context.device
        self.network, self.seed, self.context = network, seed, context
        move(network, device)
        self.optimizer = build_optimizer(network, recipe, images=training_data.images)
        rates = Rates(self.optimizer)
        self.average = Average(network, recipe.ema) if recipe.ema else None
        if checkpoint is not None:
            restore(checkpoint, network, self.optimizer, None if self.average is None else self.average.module)
        self.order, self.crops = torch.Generator(device), torch.Generator(device)
        prepare = Prepare(settings, task, self.crops, mixing_of(task, recipe, "training"))
        step = TrainingStep(
            context.wrap(network), self.optimizer, prepare, task=task, clip=recipe.clip,
            criterion=criterion_of(task, recipe, device), average=self.average,
        )  # fmt: skip
        repeatable = recipe.cuda_graphs and context.size == 1 and not prepare.draws_on_host
        capture = cuda_graphs(device, self.crops) if repeatable else None
        capture = unless_counting(capture, self.optimizer)
        self.epochs = training_data.epochs(step, recipe.batch_size, rates, self.order, capture, context)
        self.done, self.total = checkpoint.header.epoch if checkpoint is not None else 0, recipe.rungs[-1]
        if self.average is not None:
            self.average.steps.fill_(self.done * self.epochs.steps)
        self.factors = factors(recipe, self.total * self.epochs.steps)

    @property
    def trained(self) -> nn.Module:
        """The network that is scored and kept: the moving average of the weights where there is one."""
        return self.network if self.average is None else self.average.module

    def train(self, epoch: int) -> float:
        """Train for the epoch of that number; return its mean loss over all processes.

        Raises:
            TrainingStopped: The loss was not finite.
        """
        self.order.manual_seed(derived_seed(self.seed, "order", epoch))
        self.crops.manual_seed(derived_seed(self.seed, "crops", epoch, self.context.rank))
        torch.manual_seed(derived_seed(self.seed, "layers", epoch, self.context.rank))
        train_mode(self.network)
        first = epoch * self.epochs.steps
        loss = self.epochs.epoch(self.factors[first : first + self.epochs.steps]) / self.epochs.steps
        loss = self.context.mean(loss)
        if loss - loss != 0:
            raise TrainingStopped(
                f"the loss was not finite in epoch {epoch + 1}: a smaller training.learning_rate or training.clip may "
                "do"
            )
        return loss

    def checkpoint(self, header: Header) -> Checkpoint:
        """The current checkpoint."""
        return Checkpoint(
            header=header, network=self.network.state_dict(), optimizer=states_of(self.optimizer),
            ema=self.average.module.state_dict() if self.average is not None else None,
        )  # fmt: skip


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
            **provenance_of(context.device),
        ).write(directory)  # fmt: skip
    context.wait()
    result = read_result(directory)
    assert result is not None
    return result
