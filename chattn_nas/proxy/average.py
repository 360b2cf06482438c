"""The exponential moving average of a network's weights, kept on the device."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

#: Power of the warm-up: the average keeps 1 - (1 + step) ** -POWER at most.
POWER = 2 / 3


class Average:
    """Average of parameters and buffers with warm-up, like ``timm.utils.ModelEmaV3`` but without waiting for the host.

    Polyak, Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992).

    Args:
        network: The network, on its device; trained elsewhere.
        decay: Share of the average that is kept at a step.

    Attributes:
        module: The average, in eval mode.
        steps: Number of updates so far, a tensor; a training that resumes sets it.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay = network, decay
        self.module = copy.deepcopy(network).eval()
        # Not of state dicts: weights that two layers share stand twice in them, and would be moved twice.
        pairs = list(zip(_tensors(self.module), _tensors(network), strict=True))
        self.floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self.others = [pair for pair in pairs if not pair[0].is_floating_point()]
        self.steps = torch.zeros((), device=pairs[0][0].device)

    @torch.no_grad()
    def update(self) -> None:
        """Update the average, after a step of the network."""
        kept = (1 - (1 + self.steps) ** -POWER).clamp(max=self.decay)
        averages, values = ([pair[index] for pair in self.floats] for index in (0, 1))
        away = torch._foreach_sub(values, averages)
        torch._foreach_mul_(away, 1 - kept)
        torch._foreach_add_(averages, away)
        for average, value in self.others:
            average.copy_(value)
        self.steps += 1


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
