"""CBAM: Convolutional Block Attention Module. Woo, Park, Lee, Kweon (2018).

    y1 = x * sigmoid(sum over pools p of (W2 relu(W1 p(x) + b1) + b2))
    y  = y1 * sigmoid(BN(conv([max over C, mean over C] of y1)))

First the channels (see :mod:`.channel_cbam`), then the pixels of what these left: one k x k convolution over two maps,
no bias, a norm of one channel (momentum 0.01). Parameters those of the channel part and 2 k^2 + 2; MACs those of the
channel part and 2 k^2 N on N pixels, besides about four passes over the map. Official place: after the last norm of a
block, before the residual add; r = 16, k = 7. The scale of that norm starts at 0 in the authors' networks, where the
convolution then has no gradient at first, at 1 here as in their class. Source: ``MODELS/cbam.py`` of
Jongchan/attention-module.
"""

from __future__ import annotations

from torch import Tensor, nn

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.channel_cbam import POOLS, ChannelCBAM, channel_macs, channel_parameters
from chattn_nas.attention.plane_gate import PlaneGate
from chattn_nas.attention.registry import Hyperparameter, Size, Values, register


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    pixels = feature_size[0] * feature_size[1]
    return channel_macs(channels, feature_size, values) + 2 * values["kernel_size"] ** 2 * pixels


@register(
    "cbam",
    title="CBAM: Convolutional Block Attention Module",
    year=2018,
    paper="arXiv:1807.06521",
    looks_at="channels and positions",
    hyperparameters={
        "reduction": Hyperparameter(16, 4, 8, 32, minimum=1),
        "pools": Hyperparameter(*POOLS),
        "kernel_size": Hyperparameter(7, 3),
    },
    parameters=lambda c, size, v: channel_parameters(c, size, v) + 2 * v["kernel_size"] ** 2 + 2,
    macs=_macs,
    canonical=largest_reduction,
)
class CBAM(nn.Module):
    """Convolutional block attention on maps of shape (B, C, H, W).

    Args:
        channels: C.
        reduction: The hidden width is ``max(1, channels // reduction)``.
        pools: ``avg``, ``max``, ``lp`` and ``lse``, joined by ``+``.
        kernel_size: Kernel size of the convolution over pixels, odd.
    """

    def __init__(self, channels: int, *, reduction: int = 16, pools: str = "avg+max", kernel_size: int = 7) -> None:
        super().__init__()
        self.channel = ChannelCBAM(channels, reduction=reduction, pools=pools)
        self.spatial = PlaneGate(kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        x = self.channel(x)
        return x * self.spatial(x, 1).to(x.dtype)[:, None]
