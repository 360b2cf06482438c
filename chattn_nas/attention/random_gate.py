"""The control of every search: a gate per channel that is drawn once and never learned.

Whatever an attention gains over this control, it gains by looking at its input or by learning; what the control gains
over ``none`` comes from mere rescaling of channels.

    y = x * sigmoid(w), w ~ N(0, 1) fixed

No parameters, no MACs. Not a published mechanism.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chattn_nas.attention.registry import register


@register(
    "random_gate",
    title="a fixed random gate (control)",
    year=0,
    looks_at="nothing",
    parameters=lambda *_: 0,
    macs=lambda *_: 0,
)
class RandomGate(nn.Module):
    """(B, C, H, W) times a fixed random gate of shape (C, 1, 1)."""

    gate: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("gate", torch.randn(channels, 1, 1).sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x * self.gate.to(x.dtype)
