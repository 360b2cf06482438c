"""SE: Squeeze-and-Excitation Networks. Hu, Shen, Sun (2018).

    y = x * gate(W2 relu(W1 z)),   z = global average pooling of x

W1 is (C // r, C), W2 is (C, C // r). Parameters 2 C^2 / r, plus C / r + C with bias; MACs 2 C^2 / r. The hidden width
is never below 1: with 0 and no bias the gate would be 1/2 for ever. Official place: after the last norm of a block,
before the residual add. Source: ``senet/se_module.py`` of moskomule/senet.pytorch, without biases and r = 16; the
authors' Caffe networks have biases, their journal version drops them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.pooling import average
from chattn_nas.attention.registry import Hyperparameter, Size, Values, register
from chattn_nas.attention.width import hidden_width


def _parameters(channels: int, feature_size: Size, values: Values) -> int:
    hidden = hidden_width(channels, values["reduction"])
    return 2 * channels * hidden + values["bias"] * (channels + hidden)


@register(
    "se",
    title="Squeeze-and-Excitation Networks",
    year=2018,
    paper="arXiv:1709.01507",
    hyperparameters={
        "reduction": Hyperparameter(16, 2, 4, 8, 32, minimum=1),
        "bias": Hyperparameter(False, True),
        "squeeze": Hyperparameter("avg", "max"),
        "gate": Hyperparameter("sigmoid", "hard_sigmoid"),
    },
    parameters=_parameters,
    macs=lambda c, _, v: 2 * c * hidden_width(c, v["reduction"]),
    canonical=largest_reduction,
)
class SE(nn.Module):
    """Squeeze-and-excitation on maps of shape (B, C, H, W).

    Args:
        channels: C.
        reduction: The hidden width is ``max(1, channels // reduction)``.
        bias: Whether the two layers have biases.
        squeeze: ``avg`` or ``max`` pooling over the map.
        gate: ``sigmoid`` or ``hard_sigmoid``.
    """

    def __init__(
        self, channels: int, *, reduction: int = 16, bias: bool = False, squeeze: str = "avg", gate: str = "sigmoid"
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
        self.squeeze = squeeze
        self.gate = gate
        self.reduce = nn.Linear(channels, hidden, bias=bias)
        self.expand = nn.Linear(hidden, channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        z = average(x) if self.squeeze == "avg" else x.amax((2, 3))
        gate = self.expand(F.relu(self.reduce(z)))
        gate = gate.sigmoid() if self.gate == "sigmoid" else F.hardsigmoid(gate)
        return x * gate[:, :, None, None]
