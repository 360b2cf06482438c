"""Image Super-Resolution Using Very Deep Residual Channel Attention Networks. Zhang, Li, Li, Wang, Zhong, Fu (2018).

    y = x * sigmoid(W2 relu(W1 z + b1) + b2),   z = global average pooling of x

W1 is (C // r, C), W2 is (C, C // r): squeeze-and-excitation whose layers have biases, ``se`` with ``bias`` true.
Parameters 2 C^2 / r + C / r + C, MACs 2 C^2 / r. Official place: at the end of a residual block without norms, before
the add (conv, relu, conv, attention); r = 16 with 64 channels. Source: ``model/rcan.py::CALayer`` of yulunzhang/RCAN.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.pooling import average
from chattn_nas.attention.registry import Hyperparameter, register
from chattn_nas.attention.width import hidden_width


@register(
    "rcan",
    title="Image Super-Resolution Using Very Deep Residual Channel Attention Networks",
    year=2018,
    paper="arXiv:1807.02758",
    hyperparameters={"reduction": Hyperparameter(16, 2, 4, 8, minimum=1)},
    parameters=lambda c, _, v: 2 * c * hidden_width(c, v["reduction"]) + c + hidden_width(c, v["reduction"]),
    macs=lambda c, _, v: 2 * c * hidden_width(c, v["reduction"]),
    canonical=largest_reduction,
)
class RCAN(nn.Module):
    """RCAN's channel attention on maps of shape (B, C, H, W).

    Args:
        channels: C.
        reduction: The hidden width is ``max(1, channels // reduction)``.
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.reduction = reduction
        # The official 1x1 convolutions on a 1x1 map are these layers, with the same initialisation.
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        gate = self.expand(F.relu(self.reduce(average(x)))).sigmoid()
        return x * gate[:, :, None, None]
