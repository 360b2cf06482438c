"""Random numbers of a module's own, so that its draws do not change anybody else's.

Drop path and dropout of a backbone draw from the global generator: an attention that drew from it too would give its
network other masks than its rivals have, and the comparison would no longer be paired.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: 2^32: numbers are hashed as unsigned integers of 32 bits.
_WORD = 0xFFFFFFFF


class OwnRandom(nn.Module):
    """Uniform numbers of [0, 1) from a counter (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2,
    3", 2011): a hash of how many were drawn before.

    The counter starts at a number from the global generator, when the module is built, and is a buffer: it is saved
    with the weights, copied with the module, moves with it to its device, and a captured CUDA graph moves it on.
    """

    drawn: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("drawn", torch.randint(2**48, ()))

    @torch.no_grad()
    def forward(self, count: int) -> Tensor:
        """The next ``count`` numbers, float32, shape (count,)."""
        numbers = self.drawn + torch.arange(count, device=self.drawn.device)
        self.drawn += count
        low, high = numbers & _WORD, numbers >> 32
        return _hashed(low ^ _hashed(high + 0x9E3779B9)).float() / 2**32 * (1 - 2**-24)


def _hashed(x: Tensor) -> Tensor:
    """Hash integers of 32 bits, one to one and without a visible pattern (Wellons' ``lowbias32``)."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _WORD
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _WORD
    return x ^ (x >> 16)
