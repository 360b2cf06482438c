"""No attention: the identity, so that ``none`` is a choice like any other."""

from __future__ import annotations

from torch import Tensor, nn

from chattn_nas.attention.registry import register


@register("none", title="no attention", year=0, looks_at="nothing", parameters=lambda *_: 0, macs=lambda *_: 0)
class NoAttention(nn.Module):
    """(B, C, H, W) to itself."""

    starts_as_identity = True

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x
