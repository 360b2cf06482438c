"""FcaNet: Frequency Channel Attention Networks. Qin, Zhang, Wu, Li (2021).

    z_c = sum_hw x[c, h, w] B_i[h, w],  i = c // (C / n)
    B_i[h, w] = b(u_i, h, H) b(v_i, w, W),  b(f, p, L) = cos(pi f (p + 1/2) / L) / sqrt(L) * (sqrt 2 if f > 0)
    y = x * sigmoid(W2 relu(W1 z))

The channels are split into n groups, each squeezed with one frequency (u, v) of the 2D cosine transform. Frequencies
are told for a 7x7 map and multiplied by H // 7 and W // 7; a map below 7 in either direction is resampled to 7x7, as
in the official code, since its frequencies would all collapse to (0, 0). ``top1`` is average pooling times sqrt(H W):
the family of SE, but another training run. Parameters 2 C^2 / r, and C H W more where the basis is learned; MACs
C H W + 2 C^2 / r. Official place: after the last norm of a block, before the residual add; r = 16, ``top16``. Source:
``model/layer.py`` of cfzd/FcaNet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas.attention.canonical import largest_reduction
from chattn_nas.attention.filtering import filtered
from chattn_nas.attention.pooling import to_size
from chattn_nas.attention.precision import widened, without_autocast
from chattn_nas.attention.registry import Hyperparameter, Site, Size, Values, register
from chattn_nas.attention.width import hidden_width

#: The authors' orders of preference: digit pairs (u, v) on a 7x7 map; ``top4`` is the first four of ``top``.
ORDERS = {
    "top": "00 01 60 05 02 10 12 40 50 16 30 04 06 03 35 22 46 63 33 53 55 21 61 52 54 32 31 41 23 20 65 13",
    "low": "00 01 10 11 02 20 21 12 22 03 30 40 04 13 31 05 14 23 32 41 50 06 15 24 33 42 51 60 16 25 34 43",
    "bot": "66 14 34 36 26 43 11 24 44 45 56 15 42 62 25 51 64 13 65 20 23 41 31 32 54 52 61 21 55 53 33 63",
}


SETS = tuple(f"{order}{n}" for order in ORDERS for n in (16, 1, 2, 4, 8, 32))


def frequency_pairs(name: str) -> list[tuple[int, int]]:
    """The (u, v) pairs of a set such as ``top16``."""
    return [(int(pair[0]), int(pair[1])) for pair in ORDERS[name[:3]].split()[: int(name[3:])]]


def basis_size(feature_size: tuple[int, int]) -> tuple[int, int]:
    """(H, W) of the basis of a named set: never below 7, where H // 7 would be 0."""
    return feature_size if min(feature_size) >= 7 else (7, 7)


def cosine(frequency: int, length: int) -> Tensor:
    """One row of the orthonormal cosine transform, float64, shape (length,)."""
    row = torch.cos(math.pi * frequency * (torch.arange(length, dtype=torch.float64) + 0.5) / length)
    return row * math.sqrt((2 if frequency else 1) / length)


def dct_basis(channels: int, pairs: Sequence[tuple[int, int]], height: int, width: int) -> Tensor:
    """The basis of every channel, float64, shape (channels, height, width): consecutive channels share a pair."""
    maps = torch.stack([cosine(u, height)[:, None] * cosine(v, width) for u, v in pairs])
    return maps.repeat_interleave(channels // len(pairs), 0)


def _parameters(channels: int, feature_size: Size, values: Values) -> int:
    height, width = basis_size(feature_size)
    basis = channels * height * width if values["basis"] == "learned" else 0
    return 2 * channels * hidden_width(channels, values["reduction"]) + basis


def _macs(channels: int, feature_size: Size, values: Values) -> int:
    height, width = basis_size(feature_size)
    return channels * height * width + 2 * channels * hidden_width(channels, values["reduction"])


def _problem(channels: int, feature_size: Size, values: Values) -> str | None:
    n = len(frequency_pairs(values["frequencies"]))
    return f"{channels} channels cannot be divided among {n} frequencies" if channels % n else None


def _canonical(values: Values, sites: Sequence[Site]) -> Values:
    pairs = frequency_pairs(values["frequencies"])
    same = next(name for name in SETS if frequency_pairs(name) == pairs)
    return {**largest_reduction(values, sites), "frequencies": same}


@register(
    "fca",
    title="FcaNet: Frequency Channel Attention Networks",
    year=2021,
    paper="arXiv:2012.11929",
    hyperparameters={
        "frequencies": Hyperparameter(*SETS),
        "reduction": Hyperparameter(16, 2, 4, 8, 32, minimum=1),
        "basis": Hyperparameter("fixed", "learned"),
    },
    parameters=_parameters,
    macs=_macs,
    problem=_problem,
    canonical=_canonical,
    needs_feature_size=True,
)
class FCA(nn.Module):
    """Frequency channel attention on maps of shape (B, C, H, W); any H and W at run time.

    Args:
        channels: C, divisible by the number of frequencies.
        feature_size: (H, W) that the basis is made for; other maps are pooled to it.
        frequencies: A set such as ``top16``, or explicit pairs (u, v), which are taken as they are on a basis of
            exactly ``feature_size``.
        reduction: The hidden width is ``max(1, channels // reduction)``.
        basis: ``fixed`` cosines, or ``learned`` from them.

    Raises:
        ValueError: The channels cannot be divided among the frequencies.
    """

    basis: Tensor

    def __init__(
        self,
        channels: int,
        *,
        feature_size: tuple[int, int],
        frequencies: str | Sequence[tuple[int, int]] = "top16",
        reduction: int = 16,
        basis: str = "fixed",
    ) -> None:
        super().__init__()
        if isinstance(frequencies, str):
            height, width = basis_size(feature_size)
            pairs = [(u * (height // 7), v * (width // 7)) for u, v in frequency_pairs(frequencies)]
        else:
            (height, width), pairs = feature_size, [(u, v) for u, v in frequencies]
        if channels % len(pairs):
            raise ValueError(f"{channels} channels cannot be divided among {len(pairs)} frequencies")
        self.channels = channels
        self.size = (height, width)
        self.pairs = tuple(pairs)
        maps = dct_basis(channels, pairs, height, width).to(torch.get_default_dtype())
        if basis == "learned":
            self.basis = nn.Parameter(maps)
        else:
            self.register_buffer("basis", maps, persistent=False)  # 22 MB in a ResNet-50, and known from the settings
        hidden = hidden_width(channels, reduction)
        self.reduce = nn.Linear(channels, hidden, bias=False)
        self.expand = nn.Linear(hidden, channels, bias=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FCA:
        # A buffer outside the checkpoint is empty after to_empty(), and a float32 one coarse after double(): made anew.
        super()._apply(fn, recurse)
        if "basis" in self._buffers:
            self.basis = dct_basis(self.channels, self.pairs, *self.size).to(self.basis)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        z = filtered(to_size(widened(x), self.size), self.basis)
        with without_autocast(x):
            hidden = F.relu(F.linear(z, self.reduce.weight.to(z.dtype)))
            gate = F.linear(hidden, self.expand.weight.to(z.dtype)).sigmoid()
        return x * gate.to(x.dtype)[:, :, None, None]
