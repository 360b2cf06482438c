"""SoCA: Second-order Attention Network for Single Image Super-Resolution. Dai, Cai, Zhang, Xia, Zhang (2019).

    S = covariance of x over its pixels, (C, C);   R = its square root, by a few Newton-Schulz iterations on S / tr S
    z = mean over each row of R;   y = x * sigmoid(W2 relu(W1 z + b1) + b2)

The iterations are ended early (5 leave an error of 4 to 24 %), and that is the function which is meant. Their last ones
are applied to a vector: a row mean needs no matrix. A trace below 1e-12, of a constant map, is taken for 1e-12.
Parameters 2 C^2 / r + C / r + C; MACs C^2 N for the covariance of N pixels, C^3 (3 m - 2) + 3^(k - m) C^2 for k
iterations, m = max(1, k - 3) of them on matrices, 2 C^2 / r for the gate. Official place: once, behind the last block
of a group of blocks; r = 8 in the class, 16 in its options. Source: ``TrainCode/model/san.py::SOCA`` of daitao/SAN.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.covariance import covariance, newton_schulz
from chattn_nas.attention.registry import Hyperparameter, Size, Values, register
from chattn_nas.attention.wide import without_autocast


def _hidden(channels: int, values: Values) -> int:
    return max(1, channels // values["reduction"])


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    pixels, k = feature_size[0] * feature_size[1], values["iterations"]
    m = max(1, k - 3)
    root = channels**3 * (3 * m - 2) + channels**2 * 3 ** (k - m)
    return channels**2 * pixels + root + 2 * channels * _hidden(channels, values)


@register(
    "soca",
    title="Second-order Attention Network for Single Image Super-Resolution",
    year=2019,
    hyperparameters={
        "reduction": Hyperparameter(8, 2, 4, 16, minimum=1),
        "iterations": Hyperparameter(5, 3, 7, minimum=1),
        "squeeze": Hyperparameter("mean", "sum"),
    },
    parameters=lambda c, _, v: 2 * c * _hidden(c, v) + c + _hidden(c, v),
    macs=_macs,
    canonical=largest_reduction,
    placement="after_add",
    blocks="last",
    needs_map=True,
)
class SoCA(nn.Module):
    """Second-order channel attention on maps of shape (B, C, H, W).

    Args:
        channels: C.
        reduction: The hidden width is ``max(1, channels // reduction)``.
        iterations: Of Newton and Schulz.
        squeeze: ``mean`` of a row; or its ``sum``, since means are near 0 in wide layers.
        epsilon: The smallest trace that is divided by.
    """

    def __init__(
        self, channels: int, *, reduction: int = 8, iterations: int = 5, squeeze: str = "mean", epsilon: float = 1e-12
    ) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.reduction = reduction
        self.iterations = iterations
        self.squeeze = squeeze
        self.epsilon = epsilon
        self.reduce = nn.Linear(channels, hidden)
        self.expand = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        z = self._row_sums(x)
        z = z / x.shape[1] if self.squeeze == "mean" else z
        gate = self.expand(F.relu(self.reduce(z.to(self.reduce.weight.dtype)))).sigmoid()
        return x * gate.to(x.dtype)[:, :, None, None]

    def _row_sums(self, x: Tensor) -> Tensor:
        """Of the root of the covariance: (B, C, H, W) to (B, C), in float32 at least."""
        s = covariance(x)
        with without_autocast(x):
            trace = s.diagonal(dim1=1, dim2=2).sum(1).clamp_min(self.epsilon)[:, None, None]
            on_matrices = max(1, self.iterations - 3)
            y, z = newton_schulz(s / trace, on_matrices)
            ones = s.new_ones(1, s.shape[1], 1).expand(s.shape[0], -1, -1)
            return (trace.sqrt() * self._times(y, z, ones, self.iterations - on_matrices, True)).squeeze(2)

    def _times(self, y: Tensor, z: Tensor, v: Tensor, further: int, root: bool) -> Tensor:
        """What ``y`` (or ``z``) becomes after ``further`` iterations, times ``v``: all of them commute."""
        if further == 0:
            return (y if root else z) @ v
        inner = self._times(y, z, self._times(y, z, v, further - 1, True), further - 1, False)
        return self._times(y, z, (3 * v - inner) / 2, further - 1, root)
