"""Covariance of a map's channels, and its square root by Newton-Schulz iteration.

Li, Xie, Wang, Gao (2018), "Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square
Root Normalization" (iSQRT-COV).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from chattn_nas.attention.precision import widened, without_autocast
from chattn_nas.attention.squares import OfInput, applied, is_traced


def covariance(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, C), divided by the number of pixels; in float32 at least."""
    if is_traced():
        return plain_covariance(x)
    with without_autocast(x):
        found: Tensor = applied(_Covariance, widened(x).flatten(2))
        return found


def plain_covariance(x: Tensor) -> Tensor:
    """The same function in torch's own operations only, as an export writes them."""
    with without_autocast(x):
        return _of_centred(_centred(widened(x).flatten(2)))


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(2, keepdim=True)


def _of_centred(x: Tensor) -> Tensor:
    return x @ x.transpose(1, 2) / x.shape[2]


class _Covariance(OfInput):
    """The gradient is written out: one product instead of two, and centring has none, for what is multiplied is centred
    already. The map is centred again rather than kept.
    """

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        """Maps (B, C, N) to (B, C, C)."""
        return _of_centred(_centred(x))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Gradient with respect to the maps."""
        (x,) = ctx.saved_tensors
        return ((grad + grad.mT) / x.shape[2]) @ _centred(x)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        """Derivative of the covariance along a tangent."""
        (x,) = ctx.saved_tensors
        half = _centred(x) @ tangent.mT / x.shape[2]
        return half + half.mT


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
