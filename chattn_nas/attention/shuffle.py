"""SA-Net: Shuffle Attention for Deep Convolutional Neural Networks. Zhang, Yang (2020).

    y_c = x_c * sigmoid(w_c mean(x_c) + b_c)          first half of each group's channels
    y_c = x_c * sigmoid(v_c IN(x_c) + d_c)            second half; IN normalises each map, with an affine of its own

The C channels form G groups of 2 K; w, b, v, d and the affine are K numbers each, shared by all groups. At the end the
two halves of all channels are interleaved (channel i to 2 i, channel C / 2 + i to 2 i + 1): the output is a permutation
of the channels, the shortcut that it is added to is not. w and v start at 0, b and d at 1: every gate starts at 0.73.
Parameters 6 K, K = C / (2 G); MACs none (no layers; about three passes over the map). Official place: after the last
norm of a block, before the residual add; G = 64. Ours takes gcd(G, C / 2) groups where G does not divide half of the
channels, which the official code refuses. Source: ``models/sa_resnet.py`` of wofmanaf/SA-Net.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.moments import moments
from chattn_nas.attention.registry import Hyperparameter, Site, Size, Values, register


def _problem(channels: int, feature_size: Size, values: Values) -> str | None:
    return "its channels are split into halves, so their number must be even" if channels % 2 else None


def _canonical(values: Values, sites: Sequence[Site]) -> Values:
    groups = {math.gcd(values["groups"], channels // 2) for channels, _ in sites}
    return {**values, "groups": groups.pop()} if len(groups) == 1 else values


@register(
    "shuffle",
    title="SA-Net: Shuffle Attention for Deep Convolutional Neural Networks",
    year=2020,
    paper="arXiv:2102.00240",
    looks_at="channels and positions",
    hyperparameters={"groups": Hyperparameter(64, 32, 16, 8, minimum=1)},
    parameters=lambda c, _, v: 6 * (c // 2 // math.gcd(v["groups"], c // 2)),
    macs=lambda *_: 0,
    problem=_problem,
    canonical=_canonical,
    minimal_channels=2,
)
class ShuffleAttention(nn.Module):
    """Shuffle attention on maps of shape (B, C, H, W).

    Args:
        channels: C, even.
        groups: The most groups: ``gcd(groups, channels // 2)`` are taken.
        epsilon: Added to the variance below the root.
    """

    def __init__(self, channels: int, *, groups: int = 64, epsilon: float = 1e-5) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError(f"the channels are split into halves: their number must be even, not {channels}")
        self.groups = math.gcd(groups, channels // 2)
        self.epsilon = epsilon
        half = channels // 2 // self.groups
        self.channel_weight = nn.Parameter(torch.zeros(half))
        self.channel_bias = nn.Parameter(torch.ones(half))
        self.spatial_weight = nn.Parameter(torch.zeros(half))
        self.spatial_bias = nn.Parameter(torch.ones(half))
        self.norm_weight = nn.Parameter(torch.ones(half))
        self.norm_bias = nn.Parameter(torch.zeros(half))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same, channels interleaved."""
        k = self.spatial_weight.shape[0]
        mean, variance = (one.view(-1, self.groups, 2, k) for one in moments(x))
        pixels = x.shape[2] * x.shape[3]
        spread = (variance[:, :, 1] * (pixels - 1) / pixels + self.epsilon).rsqrt()
        # sigmoid(slope x + offset): slope 0 in the first half.
        slope = self.spatial_weight * self.norm_weight * spread
        offset = self.spatial_weight * self.norm_bias + self.spatial_bias - slope * mean[:, :, 1]
        first = self.channel_weight * mean[:, :, 0] + self.channel_bias
        slopes = torch.stack((torch.zeros_like(slope), slope), 2).view(-1, x.shape[1], 1, 1)
        offsets = torch.stack((first, offset), 2).view(-1, x.shape[1], 1, 1)
        gate = torch.addcmul(offsets, x, slopes).sigmoid()
        return F.channel_shuffle(x * gate.to(x.dtype), 2)
