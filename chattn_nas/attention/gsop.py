"""GSoP: Global Second-order Pooling Convolutional Networks. Gao, Xie, Wang, Li (2019).

    u = relu(BN(W1 relu(x) + b1)), d channels, stride s;   S = covariance of u over its pixels, (d, d)
    y = x * sigmoid(W3 (row convolution of BN_row(S)) + b3)

BN_row normalises each row of S over the batch; the row convolution turns each row into 4 numbers, with no activation
behind it. No matrix square root: what is printed under this name elsewhere, with one, is the authors' head before the
classifier (``head: isqrt_cov``). Parameters 5 d C + 4 d^2 + 9 d + C; MACs N' (C d + d^2) + 4 d^2 + 4 d C on the N'
pixels that stride s leaves. Official place: before the residual add of the last block of each stage, d = 128, s = 2 in
the first stage and 1 in the others. Source: ``torchvision/models/resnet.py::Bottleneck.chan_att`` of
ZilinGao/Global-Second-order-Pooling-Convolutional-Networks.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.covariance import covariance
from chattn_nas.attention.registry import Hyperparameter, Size, Values, register


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    d = values["dim"]
    pixels = math.prod(math.ceil(side / values["downsample"]) for side in feature_size)
    return pixels * (channels * d + d * d) + 4 * d * d + 4 * d * channels


@register(
    "gsop",
    title="Global Second-order Pooling Convolutional Networks",
    year=2019,
    paper="arXiv:1811.12006",
    hyperparameters={
        "dim": Hyperparameter(128, 16, 32, 64, minimum=1),
        "downsample": Hyperparameter(1, 2, minimum=1),
    },
    parameters=lambda c, _, v: 5 * v["dim"] * c + 4 * v["dim"] ** 2 + 9 * v["dim"] + c,
    macs=_macs,
    blocks="last",
)
class GSoP(nn.Module):
    """Global second-order pooling on maps of shape (B, C, H, W).

    Args:
        channels: C.
        dim: d, the channels whose covariance is taken; may exceed C.
        downsample: Stride s of the reduction.
    """

    def __init__(self, channels: int, *, dim: int = 128, downsample: int = 1) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, dim, 1, downsample)
        self.norm = nn.BatchNorm2d(dim)
        self.row_norm = nn.BatchNorm2d(dim)
        self.row_conv = nn.Conv2d(dim, 4 * dim, (dim, 1), groups=dim)
        self.expand = nn.Conv2d(4 * dim, channels, 1)
        for conv in (self.reduce, self.row_conv, self.expand):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        u = F.relu(self.norm(self.reduce(F.relu(x))))
        rows = self.row_norm(covariance(u).to(self.row_norm.weight.dtype)[:, :, :, None])
        return x * self.expand(self.row_conv(rows)).sigmoid().to(x.dtype)
