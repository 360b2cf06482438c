"""SoCA: Second-order Attention Network for Single Image Super-Resolution. Dai, Cai, Zhang, Xia, Zhang (2019).

    S = covariance of x over its pixels, (C, C);   R = its square root, by a few Newton-Schulz iterations on S / tr S
    z = mean over each row of R;   y = x * sigmoid(W2 relu(W1 z + b1) + b2)

The iterations are ended early (5 leave an error of 4 to 24 %), and that is the function which is meant. A row mean
needs no root but a vector: with W_0 = S / tr S and W_{i+1} = W_i (3 - W_i)^2 / 4, k iterations give R = tr(S)^(1/2) W_0
T_0 ... T_{k-1}, T_i = (3 - W_i) / 2, and all of them commute. Only the first m = max(0, k - 3) steps of W are done on
matrices (k - 2 where these have at most 128 rows); and where a map has fewer pixels N than channels, on the N x N
products of its pixels, since p(F F') F = F p(F' F). A trace below 1e-12, of a constant map, is taken for 1e-12.
Parameters 2 C^2 / r + C / r + C; MACs, with n the lesser of C and N: C N n for S, n^3 2 m + n^2 (m + (3^(k-m) - 1) / 2)
for the iterations, C n for the row means, 2 C^2 / r for the gate. Official place: once, behind the last block
of a group of blocks; r = 8 in the class, 16 in its options. Source: ``TrainCode/model/san.py::SOCA`` of daitao/SAN.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.covariance import covariance
from chattn_nas.attention.precision import widened, without_autocast
from chattn_nas.attention.registry import Hyperparameter, Size, Values, register
from chattn_nas.attention.width import hidden_width

#: Up to this number of channels or pixels, one more step on matrices is cheaper than nine products with a vector.
FEW = 128
#: Up to here the gradient in float32 is off by less than 1e-5 of itself; after 25 it is lost, after 30 the root too.
MOST_ITERATIONS = 20


def _on_matrices(iterations: int, n: int) -> int:
    return max(0, iterations - (2 if n <= FEW else 3))


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    pixels, k = feature_size[0] * feature_size[1], values["iterations"]
    n = min(channels, pixels)
    m = _on_matrices(k, n)
    iterations = 2 * m * n**3 + (m + (3 ** (k - m) - 1) // 2) * n**2
    return (
        channels * pixels * n + iterations + channels * n + 2 * channels * hidden_width(channels, values["reduction"])
    )


def _three_minus(w: Tensor, u: Tensor) -> Tensor:
    """(3 - w) u for w (B, n, n), u (B, n, 1) or (B, n, n)."""
    return torch.baddbmm(u, w, u, beta=3, alpha=-1)


def _later(w: Tensor, u: Tensor, steps: int) -> Tensor:
    """``w`` after further ``steps``, times the vector ``u``."""
    if steps == 0:
        return w @ u
    for _ in range(2):
        u = 3 * u - _later(w, u, steps - 1)
    return _later(w, u, steps - 1) / 4


@register(
    "soca",
    title="Second-order Attention Network for Single Image Super-Resolution",
    year=2019,
    paper="CVPR 2019",
    hyperparameters={
        "reduction": Hyperparameter(8, 2, 4, 16, minimum=1),
        "iterations": Hyperparameter(5, 3, 7, minimum=1, maximum=MOST_ITERATIONS),
        "squeeze": Hyperparameter("mean", "sum"),
    },
    parameters=lambda c, _, v: 2 * c * hidden_width(c, v["reduction"]) + c + hidden_width(c, v["reduction"]),
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
        iterations: Steps of the Newton-Schulz iteration, 1 to 20.
        squeeze: ``mean`` of a row; or its ``sum``, since means are near 0 in wide layers.
        epsilon: The smallest trace that is divided by.
    """

    def __init__(
        self, channels: int, *, reduction: int = 8, iterations: int = 5, squeeze: str = "mean", epsilon: float = 1e-12
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction)
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
        """Row sums of the root of the covariance: (B, C, H, W) to (B, C), in float32 at least."""
        with without_autocast(x):
            channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
            few = pixels < channels
            if few:
                maps = widened(x).flatten(2)
                maps = maps - maps.mean(2, keepdim=True)
                s = maps.mT @ maps / pixels
            else:
                s = covariance(x)
            # Its diagonal by steps: torch.compile warns of its own ``diagonal`` (torch 2.14).
            trace = s.flatten(1)[:, :: s.shape[1] + 1].sum(1).clamp_min(self.epsilon)[:, None, None]
            w = s / trace
            u = maps.sum(1)[:, :, None] if few else torch.ones_like(w[:, :, :1])
            on_matrices = _on_matrices(self.iterations, min(channels, pixels))
            for _ in range(on_matrices):
                u = _three_minus(w, u) / 2
                w = _three_minus(w, _three_minus(w, w)) / 4
            for steps in range(self.iterations - on_matrices):
                u = (3 * u - _later(w, u, steps)) / 2
            return ((maps @ u / pixels if few else s @ u) * trace.rsqrt()).squeeze(2)
