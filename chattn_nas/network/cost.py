"""What a network costs."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Costs of one network.

    Attributes:
        parameters: Number of parameters.
        macs: Multiply-accumulates per image.
        latency: Seconds per batch, where measured.
    """

    parameters: int
    macs: int
    latency: float | None = None


def cost(network: nn.Module, image_size: int, *, in_chans: int = 3) -> Cost:
    """Parameters and MACs of ``network`` on one image of (in_chans, image_size, image_size)."""
    meta = copy.deepcopy(network).to("meta").eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        meta(torch.empty(1, in_chans, image_size, image_size, device="meta"))
    return Cost(parameters=sum(p.numel() for p in network.parameters()), macs=counter.get_total_flops() // 2)
