"""BAM: Bottleneck Attention Module. Park, Woo, Lee, Kweon (2018).

    c = Wo relu(BN(W1 z)),   z = global average pooling of x, (B, C)
    s = conv1x1([conv3x3, BN, relu] x 2 (relu(BN(conv1x1 x)))), (B, 1, H, W)
    y = x * (1 + sigmoid(c * s))

The hidden width is h = C // r, the 3x3 convolutions are dilated by d = 4, all layers have biases. The official code
multiplies the two branches; the paper adds them (``combine: sum``). Parameters, with L hidden layers and M dilated
convolutions: 2 C h + (L - 1) h^2 + 3 L h + C for the channels, C h + 4 h + M (9 h^2 + 3 h) for the pixels and 1 for
the last bias (3 C h + 18 h^2 + 13 h + C + 1 by default); MACs 2 C h + (L - 1) h^2 + N (C h + 9 M h^2 + h) on N
pixels. Official place: behind a stage, after the last block's add; r = 16. On maps that are not square the official
pooling misses a part; ours is global. On maps of 4x4 or less the dilated taps see padding only. Source:
``MODELS/bam.py`` of Jongchan/attention-module.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.pooling import wide_average
from chattn_nas.attention.precision import without_autocast
from chattn_nas.attention.registry import Hyperparameter, Size, Values, register
from chattn_nas.attention.width import hidden_width


def _parameters(channels: int, feature_size: Size, values: Values) -> int:
    h = hidden_width(channels, values["reduction"])
    layers, convs = values["layers"], values["dilated_convs"]
    of_channels = 2 * channels * h + (layers - 1) * h**2 + 3 * layers * h + channels
    of_pixels = channels * h + 3 * h + convs * (9 * h**2 + 3 * h) + h + 1
    return of_channels * (values["branches"] != "spatial") + of_pixels * (values["branches"] != "channel")


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    h, pixels = hidden_width(channels, values["reduction"]), feature_size[0] * feature_size[1]
    of_channels = 2 * channels * h + (values["layers"] - 1) * h**2
    of_pixels = pixels * (channels * h + values["dilated_convs"] * 9 * h**2 + h)
    return of_channels * (values["branches"] != "spatial") + of_pixels * (values["branches"] != "channel")


def _canonical(values: Values, sites: object) -> Values:
    found = dict(largest_reduction(values, sites))  # type: ignore[arg-type]
    if values["branches"] != "both":
        found["combine"] = "product"
    if values["branches"] == "channel":
        found |= {"dilation": 4, "dilated_convs": 2}
    if values["branches"] == "spatial":
        found["layers"] = 1
    return found


@register(
    "bam",
    title="BAM: Bottleneck Attention Module",
    year=2018,
    paper="arXiv:1807.06514",
    looks_at="channels and positions",
    hyperparameters={
        "reduction": Hyperparameter(16, 4, 8, 32, minimum=1),
        "dilation": Hyperparameter(4, 1, 2, 6, minimum=1),
        "branches": Hyperparameter("both", "channel", "spatial"),
        "combine": Hyperparameter("product", "sum"),
        "layers": Hyperparameter(1, 2, minimum=1),
        "dilated_convs": Hyperparameter(2, 1, minimum=1),
    },
    parameters=_parameters,
    macs=_macs,
    canonical=_canonical,
    placement="after_add",
    blocks="last",
    needs_batch=True,
)
class BAM(nn.Module):
    """Bottleneck attention on maps of shape (B, C, H, W).

    Args:
        channels: C.
        reduction: The hidden width is ``max(1, channels // reduction)``.
        dilation: Dilation of the 3x3 convolutions.
        branches: ``both``, or only that of the ``channel`` or of the pixels (``spatial``).
        combine: ``product`` of the branches, or their ``sum``.
        layers: Hidden layers of the channel branch.
        dilated_convs: How many 3x3 convolutions.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        dilation: int = 4,
        branches: str = "both",
        combine: str = "product",
        layers: int = 1,
        dilated_convs: int = 2,
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.branches = branches
        self.combine = combine
        dense: list[nn.Module] = []
        for width in (channels, *[hidden] * (layers - 1)):
            dense += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU()]
        convs: list[nn.Module] = [nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU()]
        for _ in range(dilated_convs):
            convs += [nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)]
            convs += [nn.BatchNorm2d(hidden), nn.ReLU()]
        if branches != "spatial":
            self.channel = nn.Sequential(*dense, nn.Linear(hidden, channels))
        if branches != "channel":
            self.spatial = nn.Sequential(*convs, nn.Conv2d(hidden, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same.

        Raises:
            ValueError: One sample in training, whose statistics over the batch do not exist.
        """
        if self.training and x.shape[0] == 1 and self.branches != "spatial":
            raise ValueError("BAM normalises over the batch: training needs more than one sample")
        if self.branches == "channel":
            score = self._of_channels(x)
        elif self.branches == "spatial":
            score = self.spatial(x)
        else:
            channel, spatial = self._of_channels(x), self.spatial(x)
            score = channel * spatial if self.combine == "product" else channel + spatial
        return torch.addcmul(x, x, score.sigmoid().to(x.dtype))

    def _of_channels(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 1, 1)."""
        # Rounded to half precision, averages are hardly told apart by the norm over the batch.
        with without_autocast(x):
            scores: Tensor = self.channel(wide_average(x).to(next(self.channel.parameters()).dtype))
        return scores[:, :, None, None]
