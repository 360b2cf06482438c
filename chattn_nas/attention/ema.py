"""Efficient Multi-Scale Attention Module with Cross-Spatial Learning. Ouyang, He, Zhang, Luo, Guo, Zhan, Huang (2023).

    for each of G groups u of K = C / G channels:
    [h, w] = conv1x1([mean over W, mean over H] of u),   a = GN(u * sigmoid(h) * sigmoid(w)),   b = conv3x3(u)
    y = u * sigmoid(softmax(mean a) . b + softmax(mean b) . a)

softmax and the products run over the K channels, so the gate is one map per group; the groups share all weights. GN
normalises every channel's map by itself, so the mean of a is GN's bias whatever the input says, and the first softmax
a learned constant. (This is no average of weights, which bears the same three letters.) Parameters 10 K^2 + 4 K; MACs
9 K C N + K C (H + W) + 2 C N on N pixels. Official place: stated for one detector only; here that of SE, after the
last norm of a block. G = 32; ours takes gcd(G, C) groups where G does not divide the channels, which the official code
refuses. Source: YOLOonMe/EMA-attention-module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from chattn_nas.attention.group_norm import GroupNorm
from chattn_nas.attention.precision import widened, without_autocast
from chattn_nas.attention.registry import Hyperparameter, Site, Size, Values, register


def _width(channels: int, values: Values) -> int:
    return channels // math.gcd(values["groups"], channels)


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    (height, width), k = feature_size, _width(channels, values)
    return 9 * k * channels * height * width + k * channels * (height + width) + 2 * channels * height * width


def _canonical(values: Values, sites: Sequence[Site]) -> Values:
    groups = {math.gcd(values["groups"], channels) for channels, _ in sites}
    return {**values, "groups": groups.pop()} if len(groups) == 1 else values


@register(
    "ema",
    title="Efficient Multi-Scale Attention Module with Cross-Spatial Learning",
    year=2023,
    paper="arXiv:2305.13563",
    looks_at="positions",
    hyperparameters={"groups": Hyperparameter(32, 8, 16, 64, minimum=1)},
    parameters=lambda c, _, v: 10 * _width(c, v) ** 2 + 4 * _width(c, v),
    macs=_macs,
    canonical=_canonical,
)
class EMA(nn.Module):
    """Efficient multi-scale attention on maps of shape (B, C, H, W).

    Args:
        channels: C.
        groups: The most groups: ``gcd(groups, channels)`` are taken.
    """

    def __init__(self, channels: int, *, groups: int = 32) -> None:
        super().__init__()
        self.groups = math.gcd(groups, channels)
        k = channels // self.groups
        self.along = nn.Conv2d(k, k, 1)
        self.around = nn.Conv2d(k, k, 3, padding=1)
        self.norm = GroupNorm(k, k)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        height, width = x.shape[2:]
        u = x.reshape(-1, x.shape[1] // self.groups, height, width)
        # Two calls, not one on both pooled maps behind each other: for that, torch 2.14.1 compiles a wrong gradient.
        rows, columns = (self.along(u.mean(axis, keepdim=True)).sigmoid() for axis in (3, 2))
        a = self.norm(u * rows.to(x.dtype) * columns.to(x.dtype))
        b = self.around(u)
        with without_autocast(x):
            a, b = widened(a).flatten(2), widened(b).flatten(2)  # (B G, K, N)
            of_a, of_b = (one.mean(2).softmax(1)[:, None] for one in (a, b))
            gate = torch.baddbmm(of_a.bmm(b), of_b, a).sigmoid()  # (B G, 1, N)
        grouped = x.unflatten(1, (self.groups, -1))
        return (grouped * gate.to(x.dtype).view(-1, self.groups, 1, height, width)).flatten(1, 2)
