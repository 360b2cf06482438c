"""The attentions of ``timm.layers.create_attn`` as ``timm/<name>``, to compare with ours.

Each is timm's own module, unchanged, with timm's defaults; timm is imported when the cost of one is first needed, or
one is built. Costs are counted on the meta device, so they are what torch counts by construction. Whether a module can
sit at a site is found by running it there on the meta device: ``halo`` needs sides divisible by 8, ``bat`` by 7,
``lambda`` and ``bottleneck`` channels that their heads divide. Found with timm 1.0.31, which also showed: those that
are no gate (``bat``, ``bottleneck``, ``halo``, ``lambda``, ``nl``, ``sk``, ``splat``) do not keep channels_last, some
of them not float32 under autocast. Place: where SE sits, after the last norm of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from torch import nn

from chattn_nas.attention.counted import counted_cost, failure
from chattn_nas.attention.registry import Hyperparameter, Size, Values, refuse, register

#: Name in timm: title, year, and timm's default of ``rd_ratio`` (hidden width over channels) where there is one.
LAYERS: dict[str, tuple[str, int, float | None]] = {
    "bat": ("Non-Local Neural Networks With Grouped Bilinear Attentional Transforms", 2020, 1 / 4),
    "bottleneck": ("Bottleneck Transformers for Visual Recognition", 2021, None),
    "cbam": ("CBAM: Convolutional Block Attention Module", 2018, 1 / 16),
    "ceca": ("ECA-Net with circular padding (timm)", 2020, None),
    "coord": ("Coordinate Attention for Efficient Mobile Network Design", 2021, 1 / 16),
    "eca": ("ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks", 2020, None),
    "ecam": ("ECA-Net with a small MLP (timm)", 2020, None),
    "ela": ("ELA: Efficient Local Attention for Deep Convolutional Neural Networks", 2024, None),
    "ese": ("CenterMask: Real-Time Anchor-Free Instance Segmentation (effective SE)", 2020, None),
    "gc": ("GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond", 2019, 1 / 8),
    "gca": ("GCNet, context added instead of multiplied (timm)", 2019, 1 / 8),
    "halo": ("Scaling Local Self-Attention for Parameter Efficient Visual Backbones", 2021, None),
    "lambda": ("LambdaNetworks: Modeling Long-Range Interactions Without Attention", 2021, None),
    "lcbam": ("CBAM with one pooled branch (timm)", 2018, 1 / 16),
    "nl": ("Non-local Neural Networks", 2018, 1 / 8),
    "scoord": ("Coordinate Attention, simplified (timm)", 2021, 1 / 4),
    "se": ("Squeeze-and-Excitation Networks", 2018, 1 / 16),
    "sk": ("Selective Kernel Networks", 2019, 1 / 16),
    "splat": ("ResNeSt: Split-Attention Networks", 2020, 1 / 4),
    "strip": ("Strip attention (timm)", 2025, None),
}
#: Those that look at positions.
POSITIONS = dict.fromkeys(("bat", "bottleneck", "halo", "lambda", "nl"), "positions") | dict.fromkeys(
    ("cbam", "coord", "ela", "lcbam", "scoord", "strip"), "channels and positions"
)
#: Those that only work on some map sizes, so that a build must name its size.
SIZED = {"bat", "bottleneck", "halo", "lambda"}
#: Types whose constructor needs the map's size.
POSITIONAL = {"bottleneck"}
#: Those that normalise a pooled vector over the batch.
BATCHED = {"sk"}
#: Types whose last norm starts at 0, so that they start as x + 0.
IDENTITIES = {"nl"}


def _make(name: str, channels: int, feature_size: Size | None, values: Values) -> nn.Module:
    from timm.layers import create_attn

    size = {"feat_size": feature_size} if name in POSITIONAL else {}
    module = create_attn(name, channels, **size, **values)
    if name in IDENTITIES:
        module.starts_as_identity = True  # told to IdentityStart
    return module


@cache
def _cost(name: str, channels: int, feature_size: Size, values: tuple[tuple[str, Any], ...]) -> tuple[int, int]:
    """Parameters and MACs per sample."""
    return counted_cost(lambda: _make(name, channels, feature_size, dict(values)), channels, feature_size)


@cache
def _failure(name: str, channels: int, feature_size: Size, values: tuple[tuple[str, Any], ...]) -> str | None:
    # timm answers with assertions, with and without words.
    reason = failure(lambda: _make(name, channels, feature_size, dict(values)), channels, feature_size)
    return reason and f"timm refuses it ({reason})"


def _register(name: str, title: str, year: int, rd_ratio: float | None) -> None:
    def make(channels: int, *, feature_size: Size | None = None, **values: Any) -> nn.Module:
        """Build as ``timm.layers.create_attn`` does.

        Args:
            rd_ratio: Hidden width over channels.
        """
        return _make(name, channels, feature_size, values)

    def cost(part: int) -> Callable[[int, Size, Values], int]:
        return lambda c, size, v: _cost(name, c, size, tuple(sorted(v.items())))[part]

    ratios = () if rd_ratio is None else (rd_ratio, *(r for r in (1 / 16, 1 / 8, 1 / 4) if r != rd_ratio))
    register(
        f"timm/{name}",
        title=title,
        year=year,
        looks_at=POSITIONS.get(name, "channels"),
        hyperparameters={"rd_ratio": Hyperparameter(*ratios, minimum=1 / 64)} if ratios else {},
        parameters=cost(0),
        macs=cost(1),
        problem=lambda c, size, v: _failure(name, c, size, tuple(sorted(v.items()))),
        needs_feature_size=name in SIZED,
        needs_batch=name in BATCHED,
    )(make)


for _name, (_title, _year, _rd_ratio) in LAYERS.items():
    _register(_name, _title, _year, _rd_ratio)
refuse("timm/ge", "timm 1.0.31 raises TypeError for every setting of its gather-excite (ConvMlp gets act_layer twice)")
