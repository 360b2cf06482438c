"""Bilinear attention: Attention in Attention Networks for Person Retrieval. Fang, Zhou, Roy, Ji, Petersson,
Harandi (2021).

    p = relu(BN(W1 x + b1)), m = C // r channels;   q = all products p_a p_b, a >= b, at every pixel
    inner = relu(BN(W3 mean(q) + b3)), (C, 1, 1);   outer = relu(BN(W2 q + b2)), (C, H, W)
    y = x * sigmoid(inner * outer)

The gate is a map, one number per channel and pixel, and never below 1/2. With the ``linear`` kernel q = p; ``residual``
adds ``outer`` to the product. Parameters C m + 3 m + 2 (b C + 3 C) with b = m (m + 1) / 2 (b = m where linear); MACs
N (C m + b C) + b C on N pixels. Official place: once, behind the first stage (C = 480); r = 16. Source:
``models/bilinear_baseline_AIA.py::BilinearAttention`` of PengfeiFANGanu/Attention-in-Attention-Networks.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.registry import Hyperparameter, Size, Values, register
from chattn_nas.attention.width import hidden_width

#: Parameters of one module beyond which it is refused: 2048 channels with a reduction of 16 would take 34 million.
MOST = 10_000_000


def _products(channels: int, values: Values) -> tuple[int, int]:
    """m and b."""
    m = hidden_width(channels, values["reduction"])
    return m, m * (m + 1) // 2 if values["kernel"] == "bilinear" else m


def _parameters(channels: int, feature_size: Size, values: Values) -> int:
    m, b = _products(channels, values)
    return channels * m + 3 * m + 2 * (b * channels + 3 * channels)


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    m, b = _products(channels, values)
    return feature_size[0] * feature_size[1] * (channels * m + b * channels) + b * channels


def _problem(channels: int, feature_size: Size, values: Values) -> str | None:
    count = _parameters(channels, feature_size, values)
    return f"it would have {count:,} parameters, more than {MOST:,}: take a larger reduction" if count > MOST else None


@register(
    "bilinear",
    title="Attention in Attention Networks for Person Retrieval (bilinear attention)",
    year=2021,
    paper="IEEE TPAMI 2021",
    looks_at="channels and positions",
    hyperparameters={
        "reduction": Hyperparameter(16, 4, 8, 32, minimum=1),
        "kernel": Hyperparameter("bilinear", "linear"),
        "residual": Hyperparameter(False, True),
    },
    parameters=_parameters,
    macs=_macs,
    problem=_problem,
    canonical=largest_reduction,
    blocks="last",
    needs_batch=True,
)
class BilinearAttention(nn.Module):
    """Bilinear attention on maps of shape (B, C, H, W).

    Args:
        channels: C.
        reduction: m is ``max(1, channels // reduction)``.
        kernel: ``bilinear`` products of the reduced channels, or these themselves (``linear``).
        residual: Whether ``outer`` is added to the product below the sigmoid.
    """

    def __init__(self, channels: int, *, reduction: int = 16, kernel: str = "bilinear", residual: bool = False) -> None:
        super().__init__()
        m = hidden_width(channels, reduction)
        b = m * (m + 1) // 2 if kernel == "bilinear" else m
        self.reduction = reduction
        self.kernel = kernel
        self.residual = residual
        self.reduce = nn.Conv2d(channels, m, 1)
        self.reduce_norm = nn.BatchNorm2d(m)
        self.outer = nn.Conv2d(b, channels, 1)
        self.outer_norm = nn.BatchNorm2d(channels)
        self.inner = nn.Conv2d(b, channels, 1)
        self.inner_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same.

        Raises:
            ValueError: One sample in training, whose statistics over the batch do not exist.
        """
        if self.training and x.shape[0] == 1:
            raise ValueError("bilinear attention normalises over the batch: training needs more than one sample")
        p = F.relu(self.reduce_norm(self.reduce(x)))
        q = self._pairs(p) if self.kernel == "bilinear" else p
        inner = F.relu(self.inner_norm(self.inner(q.mean((2, 3), keepdim=True))))
        outer = F.relu(self.outer_norm(self.outer(q)))
        score = inner * outer + outer if self.residual else inner * outer
        return x * score.sigmoid().to(x.dtype)

    def _pairs(self, p: Tensor) -> Tensor:
        """(B, m, H, W) to (B, m (m + 1) / 2, H, W): squares first, then products of channels 1, 2, ... apart."""
        m = p.shape[1]
        return torch.cat([p[:, apart:] * p[:, : m - apart] for apart in range(m)], 1)
