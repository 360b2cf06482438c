"""MCA: Multidimensional Collaborative Attention in Deep Convolutional Neural Networks for Image Recognition. Yu, Zhang,
Cheng, Song, Tang (2023).

    for each direction (channels, rows, columns), with mean a and standard deviation s over the two others:
    g = sigmoid(conv1d_k((a + s) / 2 + sigmoid(w0) a + sigmoid(w1) s))
    y = x * (g_C + g_H + g_W) / 3

s is unbiased, without an eps; the convolutions have no bias and zero padding, k = 3 along rows and columns; along the
channels k = t if t is odd, else t - 1, with t = round(|(log2 C - 1) / 1.5|). Without ``channel`` the gate over channels
is left out and the mean is over two (the official ``no_spatial``, which drops that one). The official gate takes other
pools, too: the maximum for s, or the mean alone, g = sigmoid(conv1d_k(a)). Written from the formula: the official code
is under the GPL. Parameters 12 + k (10 without the channel gate; 2 less for each gate of one pool); MACs
k C + 3 (H + W). Official place: after the last norm of a block, before the residual add. Source:
``ImageNet/mca_module.py`` of ndsclark/MCANet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from chattn_nas.attention.moments import freedom
from chattn_nas.attention.precision import widened
from chattn_nas.attention.registry import Hyperparameter, Site, Size, Values, register


def adaptive_kernel(channels: int) -> int:
    """The official rule, but never below 1 (2 and 3 channels give -1 there)."""
    t = round(abs((math.log2(channels) - 1) / 1.5))
    return max(1, t if t % 2 else t - 1)


def _kernel(channels: int, values: Values) -> int:
    return values["channel_kernel"] or adaptive_kernel(channels)


def _parameters(channels: int, feature_size: Size, values: Values) -> int:
    weights = 2 * (values["pools"] != "avg")
    of_channels = values["channel"] * (_kernel(channels, values) + weights)
    return 2 * (int(values["spatial_kernel"]) + weights) + of_channels


def _problem(channels: int, feature_size: Size, values: Values) -> str | None:
    size = values["channel_kernel"]
    return f"channel_kernel must be odd, not {size}" if size is not None and size % 2 == 0 else None


def _canonical(values: Values, sites: Sequence[Site]) -> Values:
    if not values["channel"]:
        return {**values, "channel_kernel": None}
    kernels = {_kernel(channels, values) for channels, _ in sites}
    return {**values, "channel_kernel": kernels.pop()} if len(kernels) == 1 else values


@register(
    "mca",
    title="MCA: Multidimensional Collaborative Attention in Deep Convolutional Neural Networks for Image Recognition",
    year=2023,
    paper="Engineering Applications of Artificial Intelligence 126 (2023)",
    looks_at="channels and positions",
    hyperparameters={
        "spatial_kernel": Hyperparameter(3, 5),
        "channel_kernel": Hyperparameter(None, 3, 5, minimum=1),
        "channel": Hyperparameter(True, False),
        "pools": Hyperparameter("avg+std", "avg", "avg+max"),
    },
    parameters=_parameters,
    macs=lambda c, size, v: v["spatial_kernel"] * sum(size) + v["channel"] * _kernel(c, v) * c,
    problem=_problem,
    canonical=_canonical,
    needs_map=True,
)
class MCA(nn.Module):
    """Multidimensional collaborative attention on maps of shape (B, C, H, W).

    Args:
        channels: C.
        spatial_kernel: Taps along rows and columns, odd.
        channel_kernel: Taps along channels, odd; by the authors' rule where it is not told.
        channel: Whether there is a gate over channels.
        pools: ``avg+std``, ``avg+max`` or ``avg``.
    """

    def __init__(
        self,
        channels: int,
        *,
        spatial_kernel: int = 3,
        channel_kernel: int | None = None,
        channel: bool = True,
        pools: str = "avg+std",
    ) -> None:
        super().__init__()
        self.rows = _Gate(2, spatial_kernel, pools)
        self.columns = _Gate(3, spatial_kernel, pools)
        self.channels = _Gate(1, channel_kernel or adaptive_kernel(channels), pools) if channel else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        share = 1 / 2 if self.channels is None else 1 / 3
        gate = share * self.rows(x) + share * self.columns(x)
        if self.channels is not None:
            gate = gate + share * self.channels(x)
        return x * gate.to(x.dtype)


class _Gate(nn.Module):
    """Gates along one direction, from the mean and the deviation over the other two.

    Args:
        along: Dimension that is gated: 1, 2 or 3.
        kernel_size: Odd.
        pools: ``avg+std``; ``avg+max`` takes the maximum for the deviation, ``avg`` the mean alone.
    """

    def __init__(self, along: int, kernel_size: int, pools: str) -> None:
        super().__init__()
        self.along = along
        self.over = tuple(d for d in (1, 2, 3) if d != along)
        self.pools = pools
        self.weight = nn.Parameter(torch.rand(2)) if pools != "avg" else None
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 1, 1), (B, 1, H, 1) or (B, 1, 1, W)."""
        wide = widened(x)
        mixed = mean = wide.mean(self.over, keepdim=True)
        if self.weight is not None:
            of_mean, of_other = self.weight.sigmoid() + 0.5
            other = self._deviation(wide, mean) if self.pools == "avg+std" else wide.amax(self.over, keepdim=True)
            mixed = of_mean * mean + of_other * other
        return self.conv(mixed.to(self.conv.weight.dtype).flatten(1)[:, None]).view_as(mean).sigmoid()

    def _deviation(self, x: Tensor, mean: Tensor) -> Tensor:
        # The norm's gradient at 0 is 0, that of a root would be infinite.
        norm = torch.linalg.vector_norm(x - mean, dim=self.over, keepdim=True)
        return norm / freedom(x.shape[self.over[0]] * x.shape[self.over[1]]) ** 0.5
