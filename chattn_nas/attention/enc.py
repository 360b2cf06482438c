"""EncNet as a channel attention: Context Encoding for Semantic Segmentation. Zhang, Dana, Shi, Zhang, Wang, Tyagi,
Agrawal (2018); the authors' own layer for CIFAR.

    f = relu(BN(W1 x)), D = C // r channels;   e = the encoding of f with K codewords, flattened
    y = x * sigmoid(W2 e / |e| + b)

See :mod:`.encoding` for the encoding. Parameters C D + 3 D + K (D + 1) + K D C + C (K fewer with ``scale: drop``), of
which W2 has most; MACs N (C D + 2 K D) + K D C on N pixels. Official place: after the last norm of a block, before the
residual add; r = 4 in basic blocks, 16 in bottlenecks; 16 codewords. Source: ``EncLayer`` and ``EncDropLayer`` in the
history of zhanghang1989/PyTorch-Encoding (``experiments/recognition/model/mynn.py``).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.encoding import Encoding
from chattn_nas.attention.registry import Hyperparameter, Size, Values, register
from chattn_nas.attention.width import hidden_width


def _parameters(channels: int, feature_size: Size, values: Values) -> int:
    d, k = hidden_width(channels, values["reduction"]), values["codewords"]
    scales = k if values["scale"] == "learned" else 0
    return channels * d + 3 * d + k * d + scales + k * d * channels + channels


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    d, k = hidden_width(channels, values["reduction"]), values["codewords"]
    return feature_size[0] * feature_size[1] * (channels * d + 2 * k * d) + k * d * channels


@register(
    "enc",
    title="Context Encoding for Semantic Segmentation (the authors' layer for classification)",
    year=2018,
    paper="arXiv:1803.08904",
    hyperparameters={
        "codewords": Hyperparameter(16, 8, 32, 64, minimum=1),
        "reduction": Hyperparameter(4, 8, 16, minimum=1),
        "scale": Hyperparameter("learned", "drop"),
    },
    parameters=_parameters,
    macs=_macs,
    canonical=largest_reduction,
)
class Enc(nn.Module):
    """Encoding attention on maps of shape (B, C, H, W).

    Args:
        channels: C.
        codewords: K.
        reduction: Maps are reduced to ``max(1, channels // reduction)`` channels before they are encoded.
        scale: Scale of the distances: ``learned``, or ``drop`` for a random one at every training step.
    """

    def __init__(self, channels: int, *, codewords: int = 16, reduction: int = 4, scale: str = "learned") -> None:
        super().__init__()
        width = hidden_width(channels, reduction)
        self.reduction = reduction
        self.reduce = nn.Conv2d(channels, width, 1)
        self.norm = nn.BatchNorm2d(width)
        self.encoding = Encoding(width, codewords, scale=scale)
        self.expand = nn.Linear(codewords * width, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        encoded = self.encoding(F.relu(self.norm(self.reduce(x)))).flatten(1)
        gate = self.expand(F.normalize(encoded, dim=1, eps=1e-8).to(x.dtype)).sigmoid()
        return x * gate.to(x.dtype)[:, :, None, None]
