"""GCT: Gated Channel Transformation for Visual Recognition. Yang, Zhu, Wu, Yang (2020).

    y = x * (1 + tanh(gamma n + beta))

    l2: s = alpha sqrt(sum_hw x^2 + eps),  n = s / sqrt(mean_c s^2 + eps)
    l1: s = alpha sum_hw |x|,              n = s / (mean_c |s| + eps)      (sum_hw x where the map is non-negative)

alpha starts at 1, gamma and beta at 0: the module starts as the identity. Parameters 3 C, MACs none. Official place:
before every convolution of a block. beta is trained without weight decay. Source: ``PyTorch/GCT.py`` of z-x-yang/GCT.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chattn_nas.attention.registry import Hyperparameter, register
from chattn_nas.attention.squares import sum_of_squares


@register(
    "gct",
    title="Gated Channel Transformation for Visual Recognition",
    year=2020,
    paper="arXiv:1909.11519",
    hyperparameters={
        "mode": Hyperparameter("l2", "l1"),
        "after_relu": Hyperparameter(False, True),
    },
    parameters=lambda c, *_: 3 * c,
    macs=lambda *_: 0,
    canonical=lambda v, _: {**v, "after_relu": v["after_relu"] and v["mode"] == "l1"},
    placement="before_convs",
)
class GCT(nn.Module):
    """Gated channel transformation on maps of shape (B, C, H, W).

    Args:
        channels: C.
        mode: Norm of a channel's map, ``l2`` or ``l1``.
        after_relu: With ``l1``: the map is non-negative, so its plain sum is taken.
        epsilon: Added below the root and to the denominator.
    """

    no_weight_decay = ("beta",)
    starts_as_identity = True

    def __init__(self, channels: int, *, mode: str = "l2", after_relu: bool = False, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.mode = mode
        self.after_relu = after_relu
        self.epsilon = epsilon
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        # float32 at least, autocast or not: sums over a map overflow in half precision.
        if self.mode == "l2":
            s = self.alpha * (sum_of_squares(x) + self.epsilon).sqrt()
            n = s / (s.square().mean(1, keepdim=True) + self.epsilon).sqrt()
        else:
            wide = torch.promote_types(x.dtype, torch.float32)
            s = self.alpha * (x if self.after_relu else x.abs()).sum((2, 3), keepdim=True, dtype=wide)
            n = s / (s.abs().mean(1, keepdim=True) + self.epsilon)
        gate = 1 + torch.tanh(self.gamma * n + self.beta)
        return x * gate.to(x.dtype)
