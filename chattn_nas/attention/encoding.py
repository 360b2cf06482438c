"""The encoding layer that EncNet's attentions stand on: residuals to learned codewords, softly assigned.

Zhang, Xue, Dana (2017), "Deep TEN: Texture Encoding Network".

    A_ik = softmax over k of s_k |x_i - d_k|^2,   E_k = sum_i A_ik (x_i - d_k)

The minus sign of the distance is inside s, which starts in (-1, 0) and may turn positive.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chattn_nas.attention.own_random import OwnRandom
from chattn_nas.attention.precision import widened, without_autocast


class Encoding(nn.Module):
    """Maps (B, D, H, W) to residuals (B, K, D).

    Args:
        channels: D.
        codewords: K.
        scale: ``learned``, one s per codeword; or ``drop``: drawn from U(-1, 0) at every training step, -1/2 otherwise.
    """

    def __init__(self, channels: int, codewords: int, *, scale: str = "learned") -> None:
        super().__init__()
        reach = (codewords * channels) ** -0.5
        self.codewords = nn.Parameter(torch.empty(codewords, channels).uniform_(-reach, reach))
        self.scale = nn.Parameter(torch.empty(codewords).uniform_(-1, 0)) if scale == "learned" else None
        if scale == "drop":
            self.draws = OwnRandom()

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to (B, K, D), in float32 at least."""
        with without_autocast(x):
            x = widened(x).flatten(2)  # (B, D, N)
            d = self.codewords.to(x.dtype)
            # |x|^2 - 2 d x + |d|^2: the differences themselves would be B N K D numbers, 3 GB for 32 maps of 256x56x56.
            away = (x.square().sum(1, keepdim=True) - 2 * (d @ x) + d.square().sum(1)[:, None]).clamp_min(0)
            assigned = (self._scale(d)[:, None] * away).softmax(1)  # (B, K, N)
            return assigned @ x.transpose(1, 2) - assigned.sum(2)[:, :, None] * d

    def _scale(self, d: Tensor) -> Tensor:
        if self.scale is not None:
            return self.scale.to(d.dtype)
        return -self.draws(d.shape[0]).to(d.dtype) if self.training else torch.full_like(d[:, 0], -0.5)
