"""The training step of several processes on one batch, of a network whose path may change from step to step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from chattn_nas.proxy.distributed import DistributedContext
from chattn_nas.proxy.step import TrainingStep


class SharedStep(TrainingStep):
    """A step whose gradient is that of the whole batch, of which each process takes its share.

    Every process prepares the whole batch, with the random numbers of one process alone, so that images are mixed
    across shares, too; then it takes every ``size``-th image. Norms over a batch see the share of their own process, as
    in the final training.

    Args:
        context: The processes.
        network, given, options: As for :class:`TrainingStep`.
    """

    def __init__(self, context: DistributedContext, network: nn.Module, *given: Any, **options: Any) -> None:
        super().__init__(network, *given, **options)
        self.context = context
        # Takes part in no step: where all parameters take part in the first one, torch warns, past Python's warnings.
        self.outputs.left_out = nn.Parameter(torch.zeros(1, device=context.device))
        self.outputs = context.wrap(self.outputs, changing=True)

    def loss(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | float]:
        """As of :class:`TrainingStep`, weighted so that the mean over all processes is the loss of the whole batch."""
        rank, size = self.context.rank, self.context.size
        weight = self._shares([targets[part::size] for part in range(size)])[rank]
        own = images[rank::size].contiguous(memory_format=torch.channels_last)
        loss, auxiliary = super().loss(own, targets[rank::size])
        return loss * (weight * size), auxiliary
