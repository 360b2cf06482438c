"""Trains a network of many paths, one path per step, and scores paths without further training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from chattn_nas.data import Augmentation, Data
from chattn_nas.network.build import derived_seed
from chattn_nas.network.start import restored
from chattn_nas.proxy import pulse
from chattn_nas.proxy.criterion import criterion_of
from chattn_nas.proxy.distributed import DistributedContext
from chattn_nas.proxy.drop_path import dropped
from chattn_nas.proxy.epochs import epochs_of
from chattn_nas.proxy.isolation import own_stream_and_state
from chattn_nas.proxy.mode import train_mode
from chattn_nas.proxy.schedule import factors
from chattn_nas.proxy.settings import ProxySettings
from chattn_nas.proxy.step import autocast
from chattn_nas.tasks import task_of

#: Batches of training images that a path is scored on.
SCORED_BATCHES = 4


def steps_of(data: Data, settings: ProxySettings) -> int:
    """Number of steps of one epoch."""
    return len(data.train) // min(settings.batch_size, len(data.train))


def train_paths(
    network: nn.Module,
    data: Data,
    settings: ProxySettings,
    *,
    epochs: int,
    choose: Callable[[int], None],
    seed: int,
    context: DistributedContext,
    after_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> None:
    """Train ``network`` in place in one schedule, by the recipe of the proxy.

    Several processes train it on the batches of one, with the same path, order and augmentation. Each takes its share
    of every batch; the learning rate and the gradient are those of the whole batch. Norms over a batch see only the
    share of their own process, as in the final training, and layers that draw (dropout, drop path) draw other numbers
    in each.

    Args:
        network: On any device. Its optimiser holds all parameters; those that a step does not reach have no gradient,
            in no process, so neither momentum nor weight decay moves them.
        data: The data set; moved to the device.
        settings: Batch size, optimiser, loss; the rungs are ignored.
        epochs: Length of the schedule.
        choose: Called before every step with its number, from 0; switches the path, to the same in all processes.
        seed: Seeds the order and the augmentation.
        context: The processes that train, and the device of this one.
        after_epoch: Called with the number of epochs so far and the mean loss of the last epoch, over all processes.

    Raises:
        InputError: The batch cannot be divided among the processes, or there are fewer images than processes.
    """
    device = context.device
    drawn_in_layers = seed if context.is_first else derived_seed(seed, "layers", context.rank)
    with own_stream_and_state(device, drawn_in_layers), dropped(network, settings.drop_path):
        # Never captured: a graph would replay the path that it was captured with.
        plain = settings.changed(ema=0.0)  # an average over paths is of none of them
        generator = torch.Generator(device).manual_seed(seed)
        resident = epochs_of(network, data, plain, generator, context=context)
        train_mode(network)
        total = epochs * resident.steps
        rates = factors(settings, total)
        beat, done = pulse.beat(epochs, resident.steps, resident.batch_size), 0

        def next_path() -> None:
            nonlocal done
            done += 1
            if beat is not None:
                beat()
            if done < total:
                choose(done)

        choose(0)
        for epoch in range(epochs):
            loss = resident.epoch(rates[epoch * resident.steps : (epoch + 1) * resident.steps], next_path)
            after_epoch(epoch + 1, context.mean(loss / resident.steps))


class PathLoss:
    """The task's loss of a network on a few fixed, unaugmented batches of training images.

    Norms use the statistics of the batch, so that no path is judged by running statistics from other paths; dropout is
    off, and labels are not smoothed. The network is left as it was.

    Args:
        network: On the device.
        data: The data set with its task.
        settings: Batch size and loss.
        device: Device of the network.
    """

    def __init__(self, network: nn.Module, data: Data, settings: ProxySettings, device: torch.device) -> None:
        self.network, self.device = network, device
        task = copy.copy(task_of(data))
        task.data = replace(task.data, augmentation=Augmentation())
        self.criterion = criterion_of(task, settings.changed(label_smoothing=0.0), device)
        size = max(2, min(settings.batch_size, len(data.train) // SCORED_BATCHES))
        count = min(len(data.train), SCORED_BATCHES * size)
        spread = torch.arange(count, device=data.train.labels.device) * len(data.train) // count
        generator = torch.Generator(device).manual_seed(0)
        self.batches = [
            task.prepare(data.train[spread[begin::SCORED_BATCHES]].to(device), generator)
            for begin in range(SCORED_BATCHES)
        ]

    @torch.no_grad()
    def __call__(self) -> float:
        """Return the mean over the batches."""
        with batch_statistics(self.network), autocast(self.device):
            losses = [self.criterion(self.network(images), targets) for images, targets in self.batches]
        return float(torch.stack([loss.float() for loss in losses]).mean())


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Let norms use batch statistics inside, with everything else in eval mode; restore modes and buffers."""
    with restored(network):
        train_mode(network)
        for module in network.modules():
            if not isinstance(module, nn.modules.batchnorm._NormBase):
                module.training = False
        yield
