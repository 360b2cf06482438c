"""Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional Networks. Roy, Navab, Wachinger (2018).

    cSE: x * sigmoid(W2 relu(W1 z + b1) + b2),   z = global average pooling of x
    sSE: x * sigmoid(w . x + b)                  at every pixel
    y = max(cSE, sSE)                            of the gated maps, or their sum

The maximum is of signed values: where x is negative it takes the smaller gate. The authors' code takes the maximum
and r = 2; the sum and r = 16 are those of segmentation_models.pytorch. Parameters 2 C h + h + C for the channels,
h = C // r, and C + 1 for the pixels; MACs 2 C h + C N on N pixels. Official place: behind the blocks of a
segmentation network; here that of SE, after the last norm of a block. Source: ai-med/squeeze_and_excitation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.pooling import average
from chattn_nas.attention.registry import Hyperparameter, Site, Size, Values, register
from chattn_nas.attention.width import hidden_width


def _parameters(channels: int, feature_size: Size, values: Values) -> int:
    hidden = hidden_width(channels, values["reduction"])
    of_channels = 2 * channels * hidden + hidden + channels
    return of_channels * (values["parts"] != "spatial") + (channels + 1) * (values["parts"] != "channel")


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    of_channels = 2 * channels * hidden_width(channels, values["reduction"])
    of_pixels = channels * feature_size[0] * feature_size[1]
    return of_channels * (values["parts"] != "spatial") + of_pixels * (values["parts"] != "channel")


def _canonical(values: Values, sites: Sequence[Site]) -> Values:
    if values["parts"] == "spatial":
        return {**values, "combine": "max", "reduction": 2}
    same = largest_reduction(values, sites)
    return same if values["parts"] == "both" else {**same, "combine": "max"}


@register(
    "scse",
    title="Concurrent Spatial and Channel 'Squeeze & Excitation' in Fully Convolutional Networks",
    year=2018,
    paper="arXiv:1803.02579",
    looks_at="channels and positions",
    hyperparameters={
        "reduction": Hyperparameter(2, 4, 8, 16, minimum=1),
        "combine": Hyperparameter("max", "sum"),
        "parts": Hyperparameter("both", "channel", "spatial"),
    },
    parameters=_parameters,
    macs=_macs,
    canonical=_canonical,
)
class SCSE(nn.Module):
    """Concurrent spatial and channel squeeze-and-excitation on maps of shape (B, C, H, W).

    Args:
        channels: C.
        reduction: The hidden width is ``max(1, channels // reduction)``.
        combine: ``max`` or ``sum`` of the two gated maps.
        parts: ``both``, or only ``channel`` (cSE) or ``spatial`` (sSE).
    """

    def __init__(self, channels: int, *, reduction: int = 2, combine: str = "max", parts: str = "both") -> None:
        super().__init__()
        self.combine = combine
        self.parts = parts
        if parts != "spatial":
            hidden = hidden_width(channels, reduction)
            self.reduce = nn.Linear(channels, hidden)
            self.expand = nn.Linear(hidden, channels)
        if parts != "channel":
            self.pixel = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        gates = []
        if self.parts != "spatial":
            gates.append(self.expand(F.relu(self.reduce(average(x)))).sigmoid().to(x.dtype)[:, :, None, None])
        if self.parts != "channel":
            gates.append(self.pixel(x).sigmoid().to(x.dtype))
        if len(gates) == 1:
            return x * gates[0]
        channel, spatial = gates
        return x * (channel + spatial) if self.combine == "sum" else torch.maximum(x * channel, x * spatial)
