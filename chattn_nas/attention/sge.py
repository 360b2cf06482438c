"""SGE: Spatial Group-wise Enhance: Improving Semantic Feature Learning in Convolutional Networks. Li, Hu, Yang (2019).

    t = sum_c x_c mean(x_c)              over the channels c of a group, a map
    y = x * sigmoid(w_g (t - mean(t)) / (std(t) + eps) + b_g)

Each of G groups of C / G channels is gated pixel by pixel by how much it resembles its own mean; std is unbiased, eps
1e-5 is outside the root. w starts at 0 and b at 1, so every gate starts at sigmoid(1) = 0.73. Parameters 2 G; MACs C N
on N pixels. Official place: after the last norm of a block, before the residual add; G = 64. Ours takes
gcd(G, C) groups where G does not divide the channels, which the official code refuses. Source:
``classification/models/imagenet/resnet_sge.py`` of implus/PytorchInsight.

With one channel per group, as 64 groups have on 64 channels or fewer, t is x times its own mean, of which the division
leaves the sign: where the mean crosses 0 every gate of the map flips, and the gradient there reaches 1 / eps. Such
networks learn badly at high learning rates, whatever the precision: on CIFAR-10 (ResNet-8 of width 16 at 16 px, 10,000
training images, 4 epochs, seed 0) 37.8 % of the validation images at a rate of 0.4 and 45.4 % at 0.1, against 48.5 %
and 46.3 % with ``groups: 8`` and 48.4 % and 46.3 % without attention. (2026-11-27, one core of an AMD EPYC, float32,
Python 3.11.7, torch 2.14.1, timm 1.0.31; ``python scripts/benchmarks/long_table.py groups --seeds 1 --device cpu
--pack 1 --data cifar10.npz --out FOLDER``.) On narrow networks let several channels share a group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from chattn_nas.attention.moments import freedom
from chattn_nas.attention.precision import widened, without_autocast
from chattn_nas.attention.registry import Hyperparameter, Site, Values, register


def _canonical(values: Values, sites: Sequence[Site]) -> Values:
    groups = {math.gcd(values["groups"], channels) for channels, _ in sites}
    return {**values, "groups": groups.pop()} if len(groups) == 1 else values


@register(
    "sge",
    title="Spatial Group-wise Enhance: Improving Semantic Feature Learning in Convolutional Networks",
    year=2019,
    paper="arXiv:1905.09646",
    looks_at="positions",
    hyperparameters={"groups": Hyperparameter(64, 32, 16, 8, 4, minimum=1)},
    parameters=lambda c, _, v: 2 * math.gcd(v["groups"], c),
    macs=lambda c, size, _: c * size[0] * size[1],
    canonical=_canonical,
    needs_map=True,
)
class SGE(nn.Module):
    """Spatial group-wise enhancement of maps of shape (B, C, H, W).

    Args:
        channels: C.
        groups: The most groups: ``gcd(groups, channels)`` are taken; best with several channels in each.
        epsilon: Added to the standard deviation.
    """

    def __init__(self, channels: int, *, groups: int = 64, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.groups = math.gcd(groups, channels)
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.zeros(self.groups, 1, 1))
        self.bias = nn.Parameter(torch.ones(self.groups, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        height, width = x.shape[2:]
        with without_autocast(x):
            wide = widened(x)
            mean = wide.mean((2, 3)).reshape(-1, 1, x.shape[1] // self.groups)
            t = mean.bmm(wide.reshape(-1, x.shape[1] // self.groups, height * width))
            t = t.reshape(-1, self.groups, height, width)
            away = t - t.mean((2, 3), keepdim=True)
            # A 1x1 map has deviation 0 here, where the official code divides 0 by 0; the norm's gradient at 0 is 0.
            norm = torch.linalg.vector_norm(away, dim=(2, 3), keepdim=True)
            slope = self.weight.to(t.dtype) / (norm / freedom(height * width) ** 0.5 + self.epsilon)
            gate = torch.addcmul(self.bias.to(t.dtype), away, slope).sigmoid()
        grouped = x.unflatten(1, (self.groups, -1))
        return (grouped * gate.to(x.dtype)[:, :, None]).flatten(1, 2)
