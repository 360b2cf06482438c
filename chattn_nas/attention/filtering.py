"""Squeezing each channel's map with a filter of its own, as FcaNet and OrthoNet do."""

from __future__ import annotations

from torch import Tensor

from chattn_nas.attention.precision import widened, without_autocast


def filtered(x: Tensor, filters: Tensor) -> Tensor:
    """Maps (B, C, H, W) and filters (C, H, W) to sums of their products (B, C), in float32 at least.

    Such a sum is up to sqrt(H W) times the map's mean: beyond float16 where that is not.
    """
    with without_autocast(x):
        x, filters = widened(x), widened(filters)
        # A product of matrices per channel reads the map once and writes none; the meta device is there to count it.
        if x.is_contiguous() or x.is_meta:
            return x.flatten(2).transpose(0, 1).bmm(filters.flatten(1)[:, :, None]).squeeze(2).T
        return (x * filters).sum((2, 3))  # of channels_last the product above takes twice as long as this
