"""Finds costs of modules without formulas, and whether they fit a site, on the meta device."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torchvision  # noqa: F401 (registers its operations)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from chattn_nas.attention.auxiliary_head import AuxiliaryHead
from chattn_nas.errors import first_line

Size = tuple[int, int]
Shape = Sequence[int]
Make = Callable[[], nn.Module]


def flop_counter() -> FlopCounterMode:
    """torch's counter, which gives twice the MACs; it also counts deformable convolutions, which torch passes over."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.torchvision.deform_conv2d: _deformable})


def _deformable(images: Shape, weight: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    """As of a convolution (out, in / groups, height, width): the sampling between pixels is elementwise."""
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


def counted_cost(make: Make, channels: int, feature_size: Size) -> tuple[int, int]:
    """Parameters and MACs per sample of the module that ``make`` builds, for maps (B, ``channels``, H, W)."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
        module = make().eval()
        with flop_counter() as counter:
            module(torch.empty(1, channels, *feature_size))
    heads = {id(p) for one in module.modules() if isinstance(one, AuxiliaryHead) for p in one.parameters()}
    return sum(p.numel() for p in module.parameters() if id(p) not in heads), counter.get_total_flops() // 2


def failure(make: Make, channels: int, feature_size: Size) -> str | None:
    """Why the module cannot sit at that site: it raises, changes the shape, or lets no gradient pass; else ``None``."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.inference_mode(False), torch.enable_grad():
            x = torch.empty(2, channels, *feature_size, requires_grad=True) * 1.0  # may be changed in place
            y = make()(x)
    except Exception as error:  # somebody else's code
        return f"{type(error).__name__}: {first_line(error)}"
    shape = tuple(getattr(y, "shape", ()))
    if shape != tuple(x.shape):
        return f"it turns the map {tuple(x.shape)} into {shape or type(y).__name__}"
    return None if y.requires_grad else "no gradient passes it: it runs under torch.no_grad, or detaches its result"
