"""Any attention as the exact identity at the start.

    y = x + alpha * (module(x) - x),   alpha one number per channel, 0 at the start

So attention can be added to a trained network without changing what it computes. alpha has a gradient from the first
step, the module's own parameters from the second (ReZero: Bachlechner, Majumder, Mao, Cottrell, McAuley, 2021). Where
the module is the identity itself at the start (``starts_as_identity``, such as GCT), alpha starts at 1: with both
alpha and module(x) - x at 0, neither would ever have a gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class IdentityStart(nn.Module):
    """Wraps an attention on maps of shape (B, C, H, W).

    A module of stage scope, ``forward(x, state) -> (y, state)``, keeps that form.

    Args:
        module: The attention.
        channels: C.
    """

    no_weight_decay = ("alpha",)

    def __init__(self, module: nn.Module, channels: int) -> None:
        super().__init__()
        self.module = module
        self.alpha = nn.Parameter(torch.full((channels,), float(getattr(module, "starts_as_identity", False))))

    def forward(self, x: Tensor, *state: Any) -> Any:
        """(B, C, H, W), and the state of a stage where there is one, to the same."""
        out = self.module(x, *state)
        y = out[0] if isinstance(out, tuple) else out
        mixed = x + self.alpha.to(x.dtype)[:, None, None] * (y - x)
        return (mixed, *out[1:]) if isinstance(out, tuple) else mixed
