"""Computes numbers that half precision cannot hold in float32 at least, whatever autocast says."""

from __future__ import annotations

import torch
from torch import Tensor


def without_autocast(x: Tensor) -> torch.autocast:
    """A context in which products of float32 tensors on the device of ``x`` stay in float32."""
    # The meta device has no autocast to switch off.
    return torch.autocast("cpu" if x.device.type == "meta" else x.device.type, enabled=False)


def widened(x: Tensor) -> Tensor:
    """``x`` in float32, or in float64 where it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
