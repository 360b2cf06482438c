"""ECA-Net: Efficient Channel Attention. Wang, Wu, Zhu, Li, Zuo, Hu (2020).

    y = x * sigmoid(conv1d_k(z)),   z = global average pooling of x, zero padding (k - 1) / 2

    k = t if t is odd, else t + 1,  with t = int(|(log2 C + b) / gamma|)

Parameters k (k C with a filter per channel, the paper's ECA-NS), MACs k C. Official place: after the last norm of a
block, before the residual add. Source: ``models/eca_module.py`` and ``models/eca_ns.py`` of BangguWu/ECANet. No
released model follows the formula for k everywhere: ResNet-50's kernels are 3, 5, 5, 7.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.pooling import average
from chattn_nas.attention.registry import Hyperparameter, Site, Size, Values, register


def _adaptive_kernel(channels: int, gamma: int, b: int) -> int:
    t = int(abs((math.log2(channels) + b) / gamma))
    return t if t % 2 else t + 1


def _kernel(channels: int, values: Values) -> int:
    return values["kernel_size"] or _adaptive_kernel(channels, values["gamma"], values["b"])


def _problem(channels: int, feature_size: Size, values: Values) -> str | None:
    size = values["kernel_size"]
    return f"kernel_size must be odd, not {size}" if size is not None and size % 2 == 0 else None


def _canonical(values: Values, sites: Sequence[Site]) -> Values:
    kernels = [_kernel(channels, values) for channels, _ in sites]
    if len(set(kernels)) == 1:
        return {**values, "gamma": 2, "b": 1, "kernel_size": kernels[0]}
    # Channels differ within the stage: the first (gamma, b) that gives the same kernel everywhere.
    for gamma, b in itertools.product(range(1, 9), range(9)):
        if kernels == [_adaptive_kernel(channels, gamma, b) for channels, _ in sites]:
            return {**values, "gamma": gamma, "b": b}
    return values


@register(
    "eca",
    title="ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks",
    year=2020,
    paper="arXiv:1910.03151",
    hyperparameters={
        "gamma": Hyperparameter(2, 1, 3, minimum=1),
        "b": Hyperparameter(1, 2, 3, minimum=0),
        "kernel_size": Hyperparameter(None, 1, 3, 5, 7, 9, minimum=1),
        "shared": Hyperparameter(True, False),
    },
    parameters=lambda c, _, v: _kernel(c, v) * (1 if v["shared"] else c),
    macs=lambda c, _, v: _kernel(c, v) * c,
    problem=_problem,
    canonical=_canonical,
)
class ECA(nn.Module):
    """Efficient channel attention on maps of shape (B, C, H, W).

    Args:
        channels: C.
        gamma, b: Constants of the formula for the kernel size.
        kernel_size: Odd; overrides the formula.
        shared: One filter for all channels; otherwise one filter per channel (the paper's ECA-NS).
    """

    def __init__(
        self, channels: int, *, gamma: int = 2, b: int = 1, kernel_size: int | None = None, shared: bool = True
    ) -> None:
        super().__init__()
        k = kernel_size or _adaptive_kernel(channels, gamma, b)
        if k % 2 == 0:
            raise ValueError(f"kernel_size must be odd, not {k}")
        self.shared = shared
        if shared:
            self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)
        else:
            self.conv = nn.Conv1d(channels, channels, k, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        z = average(x)
        if self.shared:
            gate = self.conv(z[:, None]).squeeze(1)
        else:
            k = self.conv.kernel_size[0]
            neighbours = F.pad(z, (k // 2, k // 2)).unfold(1, k, 1)  # (B, C, k)
            gate = self.conv(neighbours).squeeze(2)
        return x * gate.sigmoid()[:, :, None, None]
