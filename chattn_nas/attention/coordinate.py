"""Coordinate Attention for Efficient Mobile Network Design. Hou, Zhou, Feng (2021).

    [f_h, f_w] = hswish(BN(W1 [mean over W, mean over H] + b1)),   m = max(8, C // r) channels
    y = x * sigmoid(W_h f_h + b_h) * sigmoid(W_w f_w + b_w)

One gate per channel and row times one per channel and column; one convolution and one norm serve the H + W pooled
positions together. hswish(t) = t relu6(t + 3) / 6. Parameters 3 C m + 3 m + 2 C; MACs 2 C m (H + W). Official place:
in MobileNetV2 behind the depthwise convolution; the authors ran no ResNet and advise the place of SE, after the last
norm, before the add; r = 32. Source: ``coordatt.py`` of houqb/CoordAttention, whose README speaks of SiLU where its
code has hswish.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.precision import without_autocast
from chattn_nas.attention.registry import Hyperparameter, Site, Values, register
from chattn_nas.attention.width import hidden_width


def _hidden(channels: int, values: Values) -> int:
    return hidden_width(channels, values["reduction"], values["minimum"])


def _canonical(values: Values, sites: Sequence[Site]) -> Values:
    def widths(reduction: int, minimum: int) -> list[int]:
        return [hidden_width(channels, reduction, minimum) for channels, _ in sites]

    own = widths(values["reduction"], values["minimum"])
    for reduction, minimum in ((32, 8), (values["reduction"], 8)):
        if widths(reduction, minimum) == own:
            return {**values, "reduction": reduction, "minimum": minimum}
    return values


@register(
    "coordinate",
    title="Coordinate Attention for Efficient Mobile Network Design",
    year=2021,
    paper="arXiv:2103.02907",
    looks_at="channels and positions",
    hyperparameters={
        "reduction": Hyperparameter(32, 4, 8, 16, minimum=1),
        "minimum": Hyperparameter(8, 16, minimum=1),
        "activation": Hyperparameter("hswish", "relu"),
    },
    parameters=lambda c, _, v: 3 * c * _hidden(c, v) + 3 * _hidden(c, v) + 2 * c,
    macs=lambda c, size, v: 2 * c * _hidden(c, v) * (size[0] + size[1]),
    canonical=_canonical,
)
class Coordinate(nn.Module):
    """Coordinate attention on maps of shape (B, C, H, W).

    Args:
        channels: C.
        reduction: The hidden width is ``max(minimum, channels // reduction)``.
        minimum: The least hidden width.
        activation: ``hswish`` or ``relu``.
    """

    def __init__(self, channels: int, *, reduction: int = 32, minimum: int = 8, activation: str = "hswish") -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, minimum)
        self.activation = activation
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.BatchNorm2d(hidden)
        self.rows = nn.Conv2d(hidden, channels, 1)
        self.columns = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        height, width = x.shape[2:]
        wide = torch.promote_types(x.dtype, torch.float32)
        rows = x.sum(3, keepdim=True, dtype=wide) / width  # (B, C, H, 1)
        columns = x.sum(2, keepdim=True, dtype=wide).transpose(2, 3) / height  # (B, C, W, 1)
        # Rounded to half precision, averages are hardly told apart by the norm.
        with without_autocast(x):
            f = self.norm(self.reduce(torch.cat((rows, columns), 2).to(self.reduce.weight.dtype)))
            f = F.hardswish(f) if self.activation == "hswish" else F.relu(f)
            f_rows, f_columns = f.split([height, width], 2)
            row_gate = self.rows(f_rows).sigmoid()
            column_gate = self.columns(f_columns).sigmoid().transpose(2, 3)
        return x * row_gate.to(x.dtype) * column_gate.to(x.dtype)
