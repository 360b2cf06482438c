"""SRM: A Style-based Recalibration Module for Convolutional Neural Networks. Lee, Kim, Nam (2019).

    u = w_mean * mean + w_std * sqrt(var + eps),   y = x * sigmoid(BN(u))

Mean and unbiased variance of each channel's map, eps 1e-5, one pair of weights per channel, nothing mixed across
channels; BN normalises each channel's u over the batch. The weights start at 0, so the gate starts at exactly 1/2.
Parameters 4 C (2 C for the weights of both styles, 2 C for BN), MACs none. Official place: after the last norm of a
block, before the residual add; weights and BN are trained without weight decay. Source:
``models/recalibration_modules.py`` of hyunjaelee410/style-based-recalibration-module.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chattn_nas.attention.moments import moments
from chattn_nas.attention.registry import Hyperparameter, Size, Values, register


def _parameters(channels: int, feature_size: Size, values: Values) -> int:
    return channels * (len(values["styles"].split("+")) + 2 * values["norm"])


@register(
    "srm",
    title="SRM: A Style-based Recalibration Module for Convolutional Neural Networks",
    year=2019,
    paper="arXiv:1903.10829",
    hyperparameters={
        "styles": Hyperparameter("mean+std", "mean", "std"),
        "norm": Hyperparameter(True, False),
    },
    parameters=_parameters,
    macs=lambda *_: 0,
    needs_batch=True,
    needs_map=True,
)
class SRM(nn.Module):
    """Style-based recalibration of maps of shape (B, C, H, W).

    Args:
        channels: C.
        styles: Which statistics are taken of a map: ``mean+std``, ``mean`` or ``std``.
        norm: Whether their sum is normalised over the batch; then training needs more than one sample.
        epsilon: Added to the variance below the root.
    """

    no_weight_decay = ("cfc", "bn.weight", "bn.bias")

    def __init__(self, channels: int, *, styles: str = "mean+std", norm: bool = True, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.styles = styles
        self.norm = norm
        self.epsilon = epsilon
        self.cfc = nn.Parameter(torch.zeros(channels, len(styles.split("+"))))
        self.bn = nn.BatchNorm1d(channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same.

        Raises:
            ValueError: One sample in training, whose statistics over the batch do not exist.
        """
        if self.norm and self.training and x.shape[0] == 1:
            raise ValueError("SRM normalises over the batch: training needs more than one sample")
        style = (self._style(x).to(self.cfc.dtype) * self.cfc).sum(2)
        gate = self.bn(style).sigmoid()
        return x * gate.to(x.dtype)[:, :, None, None]

    def _style(self, x: Tensor) -> Tensor:
        """Shape (B, C, number of styles); at least float32."""
        if self.styles == "mean":
            return x.mean((2, 3), dtype=torch.promote_types(x.dtype, torch.float32))[:, :, None]
        mean, variance = moments(x)
        std = (variance + self.epsilon).sqrt()
        return std.flatten(2) if self.styles == "std" else torch.cat((mean, std), 2).flatten(2)
