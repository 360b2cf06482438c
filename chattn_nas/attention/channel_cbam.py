"""The channel part of CBAM: Convolutional Block Attention Module. Woo, Park, Lee, Kweon (2018).

    y = x * sigmoid(sum over pools p of (W2 relu(W1 p(x) + b1) + b2))

The pools squeeze each channel's map: its average and its maximum by default; ``lp`` is sqrt(sum x^2), ``lse``
log sum exp, both without a mean. W1 is (C // r, C), W2 is (C, C // r), shared by the pools, so b2 counts once per pool.
Parameters 2 C h + h + C with h = C // r; MACs (P + 1) C h for P pools (W2 is applied to the pools' sum). Official
place: after the last norm of a block, before the residual add; r = 16. Source: ``MODELS/cbam.py::ChannelGate`` of
Jongchan/attention-module.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.pooling import average, highest
from chattn_nas.attention.precision import widened
from chattn_nas.attention.registry import Hyperparameter, Size, Values, register
from chattn_nas.attention.width import hidden_width

#: Which pools, joined by +; ``avg+max`` is the authors' choice.
POOLS = ("avg+max", "avg", "max", "avg+max+lp+lse")


def channel_macs(channels: int, feature_size: Size, values: Values) -> int:
    """MACs per sample of the channel part."""
    return (len(values["pools"].split("+")) + 1) * channels * hidden_width(channels, values["reduction"])


def channel_parameters(channels: int, feature_size: Size, values: Values) -> int:
    """Parameters of the channel part."""
    hidden = hidden_width(channels, values["reduction"])
    return 2 * channels * hidden + hidden + channels


def squeeze(x: Tensor, pool: str) -> Tensor:
    """(B, C, H, W) to (B, C) by a pool of this name.

    Raises:
        ValueError: No such pool.
    """
    if pool == "avg":
        return average(x)
    if pool == "max":
        return highest(x.flatten(2), 2)
    if pool == "lp":
        return torch.linalg.vector_norm(widened(x), dim=(2, 3)).to(x.dtype)
    if pool == "lse":
        return widened(x).flatten(2).logsumexp(2).to(x.dtype)
    raise ValueError(f"there is no pool {pool!r}: avg, max, lp and lse")


@register(
    "channel_cbam",
    title="CBAM: Convolutional Block Attention Module (the channel part)",
    year=2018,
    paper="arXiv:1807.06521",
    hyperparameters={
        "reduction": Hyperparameter(16, 4, 8, 32, minimum=1),
        "pools": Hyperparameter(*POOLS),
    },
    parameters=channel_parameters,
    macs=channel_macs,
    canonical=largest_reduction,
)
class ChannelCBAM(nn.Module):
    """CBAM's channel attention on maps of shape (B, C, H, W).

    Args:
        channels: C.
        reduction: The hidden width is ``max(1, channels // reduction)``.
        pools: ``avg``, ``max``, ``lp`` and ``lse``, joined by ``+``.
    """

    def __init__(self, channels: int, *, reduction: int = 16, pools: str = "avg+max") -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.pools = pools
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x * self.gate(x).to(x.dtype)[:, :, None, None]

    def gate(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the gate (B, C)."""
        pools = self.pools.split("+")
        squeezed = torch.stack([squeeze(x, pool) for pool in pools])
        hidden = F.relu(self.reduce(squeezed)).sum(0)
        # The bias is added by every pool.
        return (self.expand(hidden) + (len(pools) - 1) * self.expand.bias).sigmoid()
