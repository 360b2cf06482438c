"""OrthoNet: Orthogonal Channel Attention Networks. Salman, Parks, Swan, Gauch (2023).

    z_c = sum_hw F_c[h, w] x[c, h, w],   y = x * sigmoid(W2 relu(W1 z))

F holds fixed random filters that are orthonormal to each other: FcaNet with noise in the place of the cosine
transform, and so its control. Where there are more channels than pixels of a filter, several independent sets follow
each other, so C must be a multiple of the pixels. They are drawn when the module is built and belong to its weights
(a persistent buffer). W1 is (h, C), W2 is (C, h), without biases, h = round(C / r). Other maps than the filters' are
pooled to their size (or repeated up to it). Parameters 2 C h, MACs C s^2 + 2 C h with filters of s x s. Official place:
after the last norm of a block, before the residual add; r = 16, filters as large as the maps of each stage. Where that
size does not divide the channels, ours take the largest power of two that does. Source: hady1011/OrthoNets.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.filtering import filtered
from chattn_nas.attention.pooling import has_size, to_size
from chattn_nas.attention.precision import widened, without_autocast
from chattn_nas.attention.registry import Hyperparameter, Site, Size, Values, register


def _hidden(channels: int, reduction: int) -> int:
    return max(1, round(channels / reduction))


def _fits(channels: int, size: Size) -> bool:
    pixels = size[0] * size[1]
    return channels <= pixels or channels % pixels == 0


def filter_size(channels: int, feature_size: Size, size: int | None) -> Size:
    """(height, width) of the filters: as asked, or the map's, or the largest power of two that the channels allow."""
    if size is not None:
        return size, size
    powers = (2**n for n in range(min(feature_size).bit_length() - 1, -1, -1))
    return next(one for one in (feature_size, *((p, p) for p in powers)) if _fits(channels, one))


def orthonormal_filters(channels: int, size: Size) -> Tensor:
    """Random filters, float64, shape (channels, height, width); sets of height * width are orthonormal.

    Gram-Schmidt of uniform noise of (0, 1), as its QR decomposition with positive diagonal.
    """
    pixels = size[0] * size[1]
    sets = -(-channels // pixels)
    noise = torch.rand(sets, pixels, channels // sets, dtype=torch.float64)
    q, r = torch.linalg.qr(noise)
    q = q * r.diagonal(dim1=1, dim2=2).sign()[:, None]
    return q.transpose(1, 2).reshape(channels, *size)


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    height, width = filter_size(channels, feature_size, values["size"])
    squeeze = channels * height * width if feature_size != (1, 1) else 0
    return squeeze + 2 * channels * _hidden(channels, values["reduction"])


def _problem(channels: int, feature_size: Size, values: Values) -> str | None:
    size = filter_size(channels, feature_size, values["size"])
    if _fits(channels, size):
        return None
    pixels = size[0] * size[1]
    return f"{channels} channels are neither at most, nor a multiple of, the {pixels} pixels of a filter"


def _canonical(values: Values, sites: Sequence[Site]) -> Values:
    sizes = {filter_size(channels, size, values["size"]) for channels, size in sites}
    own = {filter_size(channels, size, None) for channels, size in sites}
    return {**values, "size": None} if sizes == own and len(sizes) == 1 else values


@register(
    "ortho",
    title="OrthoNets: Orthogonal Channel Attention Networks",
    year=2023,
    paper="arXiv:2311.03071",
    hyperparameters={
        "size": Hyperparameter(None, 7, 8, 16, minimum=1),
        "reduction": Hyperparameter(16, 8, 4, minimum=1),
    },
    parameters=lambda c, _, v: 2 * c * _hidden(c, v["reduction"]),
    macs=_macs,
    problem=_problem,
    canonical=_canonical,
    needs_feature_size=True,
)
class Ortho(nn.Module):
    """Orthogonal channel attention on maps of shape (B, C, H, W); any H and W at run time.

    Args:
        channels: C.
        feature_size: (H, W) that the filters are made for where ``size`` does not say it.
        size: Side of the filters.
        reduction: The hidden width is ``max(1, round(channels / reduction))``.

    Raises:
        ValueError: The channels are neither at most, nor a multiple of, the pixels of a filter.
    """

    filters: Tensor

    def __init__(
        self, channels: int, *, feature_size: tuple[int, int], size: int | None = None, reduction: int = 16
    ) -> None:
        super().__init__()
        height, width = filter_size(channels, feature_size, size)
        if not _fits(channels, (height, width)):
            raise ValueError(f"{channels} channels do not fit filters of {height}x{width}")
        self.size = (height, width)
        filters = orthonormal_filters(channels, self.size)
        self.register_buffer("filters", filters.to(torch.get_default_dtype()))
        hidden = _hidden(channels, reduction)
        self.reduce = nn.Linear(channels, hidden, bias=False)
        self.expand = nn.Linear(hidden, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        # As in the official code a single pixel passes no filter. Higher maps of width 1 do: there it fails.
        z = widened(x).flatten(1) if has_size(x, (1, 1)) else filtered(to_size(x, self.size), self.filters)
        with without_autocast(x):
            hidden = F.relu(F.linear(z, self.reduce.weight.to(z.dtype)))
            gate = F.linear(hidden, self.expand.weight.to(z.dtype)).sigmoid()
        return x * gate.to(x.dtype)[:, :, None, None]
