"""Covariance of a map's channels, and its square root by Newton-Schulz iteration.

Li, Xie, Wang, Gao (2018), "Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square
Root Normalization" (iSQRT-COV).
"""

from __future__ import annotations

import torch
from torch import Tensor

from chattn_nas.attention.precision import widened, without_autocast


def covariance(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, C), divided by the number of pixels; in float32 at least."""
    with without_autocast(x):
        x = widened(x).flatten(2)
        x = x - x.mean(2, keepdim=True)
        return x @ x.transpose(1, 2) / x.shape[2]


def newton_schulz(a: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Y and Z, both (B, C, C), near the square root of ``a`` and its inverse; iterations end early on purpose.

        Y = a, Z = 1;   each time T = (3 - Z Y) / 2,  Y T for Y,  T Z for Z

    Args:
        a: (B, C, C) symmetric, positive, with eigenvalues of at most 1.
        iterations: At least 1; official networks take 3 or 5, which is not the exact root, and trained so.
    """
    with without_autocast(a):
        three = 3 * torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
        z = (three - a) / 2
        y = a @ z
        for _ in range(iterations - 1):
            t = (three - z @ y) / 2
            y, z = y @ t, t @ z
        return y, z
