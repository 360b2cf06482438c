"""The rival of every attention: one learned factor per channel, the same for every input.

    y = w x,   w a number per channel, 1 at the start

It has the freedom to rescale channels that every gate has, and never looks at its input: only what beats it is
attention. It starts as the identity. Parameters C, MACs none. Not a published mechanism.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chattn_nas.attention.registry import register


@register(
    "channel_scale",
    title="a learned factor per channel (baseline)",
    year=0,
    parameters=lambda c, *_: c,
    macs=lambda *_: 0,
)
class ChannelScale(nn.Module):
    """(B, C, H, W) times a learned factor of shape (C, 1, 1), trained without weight decay as the scale of a norm.

    Args:
        channels: C.
    """

    no_weight_decay = ("factor",)
    starts_as_identity = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x * self.factor.to(x.dtype)
