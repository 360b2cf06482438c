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

from chattn_nas.attention.group_norm import GroupNorm
from chattn_nas.attention.pooling import average
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
    """

    def __init__(self, channels: int, *, groups: int = 64) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError(f"the channels are split into halves: their number must be even, not {channels}")
        self.groups = math.gcd(groups, channels // 2)
        half = channels // 2 // self.groups
        self.channel_weight = nn.Parameter(torch.zeros(half))
        self.channel_bias = nn.Parameter(torch.ones(half))
        self.spatial_weight = nn.Parameter(torch.zeros(half))
        self.spatial_bias = nn.Parameter(torch.ones(half))
        self.norm = GroupNorm(half, half)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same, channels interleaved."""
        first, second = x.unflatten(1, (self.groups, 2, -1)).unbind(2)  # (B, G, K, H, W) each
        one, two = self._gates(first, second)
        return _interleaved(first * one.to(x.dtype), second * two.to(x.dtype), channels_last=not x.is_contiguous())

    def _gates(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """One number for each channel of the first half, one for each value of the second."""
        mean = average(first.flatten(0, 1)).view(-1, self.groups, first.shape[2], 1, 1)
        weight, bias, slope, offset = (
            parameter[:, None, None]
            for parameter in (self.channel_weight, self.channel_bias, self.spatial_weight, self.spatial_bias)
        )
        return (weight * mean + bias).sigmoid(), torch.addcmul(offset, self._normed(second), slope).sigmoid()

    def _normed(self, second: Tensor) -> Tensor:
        # A norm for each channel of each group, its affine shared by the groups.
        return self.norm(second.reshape(-1, *second.shape[2:])).view(second.shape)


def _interleaved(first: Tensor, second: Tensor, channels_last: bool) -> Tensor:
    """Both halves of each group, (B, G, K, H, W) each, to (B, C, H, W), the halves of all channels interleaved."""
    groups = first.shape[1]
    if groups % 2:
        return F.channel_shuffle(torch.stack((first, second), 2).flatten(1, 3), 2)
    # In one copy: the halves of all channels are the halves of the groups.
    halves = [part.unflatten(1, (2, groups // 2)) for part in (first, second)]
    if channels_last:
        return torch.stack([h.permute(0, 4, 5, 2, 3, 1) for h in halves], 4).flatten(3, 6).permute(0, 3, 1, 2)
    return torch.stack([h.permute(0, 2, 3, 1, 4, 5) for h in halves], 2).flatten(1, 4)
