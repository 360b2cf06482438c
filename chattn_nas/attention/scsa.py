"""SCSA: Exploring the Synergistic Effects Between Spatial and Channel Attention. Si, Xu, Zhu, Zhang, Dong, Chen, Li
(2025).

    g_h = sigmoid(GN4(convs(mean over W))), g_w = sigmoid(GN4(convs(mean over H))),   x' = x * g_h * g_w
    d = GN1(average pool of x', window p),   q, k, v = one scale per channel of d
    y = x' * sigmoid(mean over positions of softmax(q k^T / sqrt(C / heads)) v)

The channels form four quarters, each with a depthwise convolution of its own length (3, 5, 7, 9 taps, biases), the same
for rows and columns; then attention between channels. Rows and columns beyond a multiple of the window are not seen by
that part; ``window`` -1 pools globally. A side of the map that is shorter than the window is taken whole, where the
official code fails. Parameters 16 C by default; MACs 6 C (H + W) + 3 C n + 2 C^2 n / heads on n pooled positions.
Official place: inside a block, on its narrow width, in front of the last convolution. Window 7, one head. Source:
``mmpretrain/models/attentions/SCSA.py`` of HZAI-ZJNU/SCSA.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.group_norm import GroupNorm
from chattn_nas.attention.precision import widened, without_autocast
from chattn_nas.attention.registry import Hyperparameter, Site, Size, Values, register


def _taps(values: Values) -> list[int]:
    return [int(taps) for taps in values["kernel_sizes"].split("-")]


def _positions(feature_size: Size, window: int) -> int:
    return 1 if window == -1 else max(1, feature_size[0] // window) * max(1, feature_size[1] // window)


def _parameters(channels: int, feature_size: Size, values: Values) -> int:
    return channels // 4 * sum(taps + 1 for taps in _taps(values)) + (9 + 3 * values["qkv_bias"]) * channels


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    n, heads = _positions(feature_size, values["window"]), values["heads"]
    along = channels // 4 * sum(_taps(values)) * sum(feature_size)
    return along + 3 * channels * n + 2 * channels**2 * n // heads


def _problem(channels: int, feature_size: Size, values: Values) -> str | None:
    if channels % 4:
        return "it cuts the channels into quarters"
    if channels % values["heads"]:
        return f"{channels} channels cannot be divided among {values['heads']} heads"
    if values["window"] < -1 or values["window"] == 0:
        return "its window is a number of pixels, or -1 for the whole map"
    return None


def _canonical(values: Values, sites: Sequence[Site]) -> Values:
    whole = all(values["window"] >= max(size) for _, size in sites)
    return {**values, "window": -1} if whole else values


@register(
    "scsa",
    title="SCSA: Exploring the Synergistic Effects Between Spatial and Channel Attention",
    year=2025,
    paper="arXiv:2407.05128",
    looks_at="channels and positions",
    hyperparameters={
        "window": Hyperparameter(7, -1, 2, 4, minimum=-1),
        "heads": Hyperparameter(1, 4, 8, minimum=1),
        "kernel_sizes": Hyperparameter("3-5-7-9", "3-3-3-3"),
        "pool": Hyperparameter("avg", "max"),
        "qkv_bias": Hyperparameter(False, True),
    },
    parameters=_parameters,
    macs=_macs,
    problem=_problem,
    canonical=_canonical,
    placement="before_last_conv",
    minimal_channels=4,
)
class SCSA(nn.Module):
    """Spatial and channel synergistic attention on maps of shape (B, C, H, W).

    Args:
        channels: C, a multiple of 4.
        window: Window of the pooling before the attention between channels; -1 takes the map whole, as it does a side
            that is shorter than the window.
        heads: Heads of that attention.
        kernel_sizes: Taps of the four quarters' convolutions, odd, joined by ``-``.
        pool: ``avg`` or ``max``.
        qkv_bias: Whether q, k and v have biases.
    """

    def __init__(
        self,
        channels: int,
        *,
        window: int = 7,
        heads: int = 1,
        kernel_sizes: str = "3-5-7-9",
        pool: str = "avg",
        qkv_bias: bool = False,
    ) -> None:
        super().__init__()
        if channels % 4 or channels % heads:
            raise ValueError(f"{channels} channels cannot be divided into quarters and {heads} heads")
        self.window = window
        self.heads = heads
        self.pool = pool
        self.scale = (channels // heads) ** -0.5
        quarter = channels // 4
        taps = [int(number) for number in kernel_sizes.split("-")]
        self.along = nn.ModuleList(nn.Conv1d(quarter, quarter, k, padding=k // 2, groups=quarter) for k in taps)
        self.norm_rows = GroupNorm(4, channels)
        self.norm_columns = GroupNorm(4, channels)
        self.norm = GroupNorm(1, channels)
        self.q, self.k, self.v = (nn.Conv2d(channels, channels, 1, groups=channels, bias=qkv_bias) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        rows = self.norm_rows(self._along(x.mean(3))).sigmoid().to(x.dtype)
        columns = self.norm_columns(self._along(x.mean(2))).sigmoid().to(x.dtype)
        x = x * rows[:, :, :, None] * columns[:, :, None, :]
        return x * self._between_channels(x).sigmoid().to(x.dtype)[:, :, None, None]

    def _along(self, z: Tensor) -> Tensor:
        """(B, C, L) to the same, each quarter of the channels with its own convolution."""
        return torch.cat([conv(part) for conv, part in zip(self.along, z.chunk(4, 1), strict=True)], 1)

    def _between_channels(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C)."""
        d = self.norm(self._pooled(x))
        with without_autocast(x):
            q, k, v = (
                widened(part(d.to(part.weight.dtype))).flatten(2).unflatten(1, (self.heads, -1)).flatten(0, 1)
                for part in (self.q, self.k, self.v)
            )  # (B heads, C / heads, n)
            scores = q.bmm(k.transpose(1, 2)) * self.scale
            return scores.softmax(2).bmm(v).mean(2).reshape(-1, x.shape[1])

    def _pooled(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, h, w)."""
        height, width = x.shape[2:]
        if self.window == -1 or self.window >= max(height, width):
            return x.mean((2, 3), keepdim=True) if self.pool == "avg" else x.amax((2, 3), keepdim=True)
        window = (min(self.window, height), min(self.window, width))
        return F.avg_pool2d(x, window) if self.pool == "avg" else F.max_pool2d(x, window)
