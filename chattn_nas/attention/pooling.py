"""Global pooling."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def average(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C); half precision is summed in float32."""
    return wide_average(x).to(x.dtype)


def wide_average(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C), in float32 at least.

    The gradient of ``mean`` is written out over the whole map before it is added to that of the gate; that of a sum is
    one number per channel, read again and again: a gate with its backward takes a quarter less time on a CPU.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    return x.sum((2, 3), dtype=wide) / (x.shape[2] * x.shape[3])


def has_size(x: Tensor, size: tuple[int, int]) -> bool:
    """Whether maps (B, C, H, W) are known to be (H, W) large.

    Symbolic sizes (torch.export with free height and width) are never compared, which would fix them.
    """
    height, width = x.shape[2:]
    return type(height) is int and type(width) is int and (height, width) == size


def to_size(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) to maps of another size, by averages.

    Pooling to the same size is the identity, but takes 40 times as long as x * gate on a CPU (16, 256, 14, 14).
    """
    return x if has_size(x, size) else F.adaptive_avg_pool2d(x, size)


def highest(x: Tensor, dim: int) -> Tensor:
    """The maximum along one dimension; the gradient goes to one place.

    By its index, as in the official sources, where there is a gradient: ``amax`` looks for the place again in its
    backward and takes two to four times as long on a CPU; where there is none ``amax`` takes half the time.
    """
    return x.max(dim).values if torch.is_grad_enabled() and x.requires_grad else x.amax(dim)
