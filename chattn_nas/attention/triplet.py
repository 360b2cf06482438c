"""Rotate to Attend: Convolutional Triplet Attention Module. Misra, Nalamada, Arasanipalai, Hou (2021).

    gate of a plane = sigmoid(BN(conv([max, mean] of x along the third direction)))
    y = x * (gate_CW + gate_HC + gate_HW) / 3

Three gates, each over the plane of two of the directions C, H, W: one k x k convolution over two maps, no bias, a norm
of one channel (momentum 0.01). The order of the channels matters: the kernel slides along them. Without ``spatial``
the gate over (H, W) is left out and the mean is over two. Parameters 3 (2 k^2 + 2); MACs 2 k^2 (C W + C H + H W), and
about nine passes over the map. Official place: after the last norm of a block, before the residual add; k = 7. Source:
``triplet_attention.py`` of landskape-ai/triplet-attention.
"""

from __future__ import annotations

from torch import Tensor, nn

from chattn_nas.attention.plane_gate import PlaneGate
from chattn_nas.attention.registry import Hyperparameter, Size, Values, register


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    height, width = feature_size
    places = channels * (height + width) + height * width * values["spatial"]
    return 2 * values["kernel_size"] ** 2 * places


@register(
    "triplet",
    title="Rotate to Attend: Convolutional Triplet Attention Module",
    year=2021,
    paper="arXiv:2010.03045",
    looks_at="channels and positions",
    hyperparameters={
        "kernel_size": Hyperparameter(7, 3, 5),
        "spatial": Hyperparameter(True, False),
    },
    parameters=lambda c, _, v: (2 + v["spatial"]) * (2 * v["kernel_size"] ** 2 + 2),
    macs=_macs,
)
class Triplet(nn.Module):
    """Triplet attention on maps of shape (B, C, H, W).

    Args:
        channels: C; no parameter depends on it.
        kernel_size: Kernel size of the convolutions, odd.
        spatial: Whether there is a gate over the plane of the pixels.
    """

    def __init__(self, channels: int, *, kernel_size: int = 7, spatial: bool = True) -> None:
        super().__init__()
        self.spatial = spatial
        self.cw = PlaneGate(kernel_size)
        self.hc = PlaneGate(kernel_size)
        if spatial:
            self.hw = PlaneGate(kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        share = 1 / (2 + self.spatial)
        gate = (share * self.cw(x, 2))[:, :, None, :] + (share * self.hc(x, 3, swap=True))[:, :, :, None]
        if self.spatial:
            gate = gate + (share * self.hw(x, 1))[:, None]
        return x * gate.to(x.dtype)
