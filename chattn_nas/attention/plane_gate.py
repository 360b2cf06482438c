"""A gate over a plane of a map, from the maximum and the mean along the third direction: CBAM and triplet attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chattn_nas.attention.pooling import highest


class PlaneGate(nn.Module):
    """Maps (B, C, H, W), pooled along one direction, to one number of (0, 1) per place of the plane that is left.

    sigmoid(BN(conv([max, mean]))), one convolution without bias, zero padding, a norm of one channel whose running
    statistics move by 0.01 a step, as in both official sources.

    Args:
        kernel_size: Odd.
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor, along: int, swap: bool = False) -> Tensor:
        """(B, C, H, W) to the gate of the plane, (B, rows, columns).

        Args:
            along: Dimension to pool: 1, 2 or 3; the other two, in their order, are rows and columns.
            swap: Rows for columns: what the kernel sees is transposed.
        """
        # float32 sums: a mean over channels in half precision is coarse.
        mean = x.mean(along, dtype=torch.promote_types(x.dtype, torch.float32)).to(x.dtype)
        pooled = torch.stack((highest(x, along), mean), 1)
        gate = self.norm(self.conv(pooled.transpose(2, 3) if swap else pooled)).sigmoid().squeeze(1)
        return gate.transpose(1, 2) if swap else gate
