"""SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural Networks. Yang, Zhang, Li, Xie (2021).

    y = x * sigmoid(d / (4 (v + lambda)) + 1/2)
    d = (x - mean)^2,   v = sum_hw d / (N - 1)      over each channel's map of N pixels

A pixel that differs from its map is let through, one that does not is damped; never below sigmoid(1/2) = 0.62. There is
nothing to learn: what a learned attention gains over this one, it gains by learning. Parameters none, MACs none (no
layers; some five operations per value). Official place: behind the 3x3 convolution, before its norm. lambda matters
only where v is near it: 1e-4 in the class, 0.1 in the authors' ImageNet runs. Source:
``networks/attentions/simam_module.py`` of ZjjConan/SimAM.
"""

from __future__ import annotations

from torch import Tensor, nn

from chattn_nas.attention.moments import freedom
from chattn_nas.attention.precision import widened
from chattn_nas.attention.registry import Hyperparameter, register
from chattn_nas.attention.squares import sum_of_squares


@register(
    "simam",
    title="SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural Networks",
    year=2021,
    paper="ICML 2021",
    looks_at="positions",
    hyperparameters={"epsilon": Hyperparameter(1e-4, 1e-3, 1e-2, 0.1, 1.0, minimum=1e-12)},
    parameters=lambda *_: 0,
    macs=lambda *_: 0,
    needs_map=True,
)
class SimAM(nn.Module):
    """SimAM on maps of shape (B, C, H, W).

    Args:
        channels: C.
        epsilon: The paper's lambda, added to the variance.
    """

    def __init__(self, channels: int, *, epsilon: float = 1e-4) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        wide = widened(x)
        away = wide - wide.mean((2, 3), keepdim=True)
        # A 1x1 map has variance 0 here, where the official code divides 0 by 0.
        variance = sum_of_squares(away) / freedom(x.shape[2] * x.shape[3])
        return x * (away.square() / (4 * (variance + self.epsilon)) + 0.5).sigmoid().to(x.dtype)
