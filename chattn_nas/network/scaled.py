"""A constant behind an attention, for starts that no scale of the block can correct."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from chattn_nas.network.surgery import put


class Scaled(nn.Module):
    """An attention with a constant behind it, y = s attention(x); a buffer, so that files of weights hold it.

    Args:
        attention: On maps (B, C, H, W).
        scale: s.
    """

    unit_scale: Tensor

    def __init__(self, attention: nn.Module, scale: float) -> None:
        super().__init__()
        self.attention = attention
        self.register_buffer("unit_scale", torch.tensor(float(scale)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        y: Tensor = self.attention(x)
        return y * self.unit_scale.to(y.dtype)


class Constant(nn.Module):
    """:class:`Scaled` with its number written into the module: what an export writes.

    Args:
        attention: On maps (B, C, H, W).
        scale: s.
    """

    def __init__(self, attention: nn.Module, scale: float) -> None:
        super().__init__()
        self.attention = attention
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        y: Tensor = self.attention(x) * self.scale
        return y


def restore_scales(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Add the constants that a state dict holds to a network, in place, so that it can be loaded."""
    for key, value in state.items():
        path, _, name = key.rpartition(".")
        if name == "unit_scale" and not isinstance(network.get_submodule(path), Scaled):
            put(network, path, Scaled(network.get_submodule(path), float(value)))


def fix_scales(network: nn.Module) -> None:
    """Replace every scale in a buffer by a constant in its module, in place."""
    for path, scale in constants(network).items():
        module = network.get_submodule(path)
        if isinstance(module, Scaled):
            put(network, path, Constant(module.attention, scale))


def put_constants(network: nn.Module, scales: Mapping[str, float]) -> None:
    """Put constants behind attentions, in place; paths as in :func:`constants`."""
    for path, scale in scales.items():
        put(network, path, Constant(network.get_submodule(path), scale))


def constants(network: nn.Module) -> dict[str, float]:
    """The constants behind attentions, by path."""
    return {
        path: float(module.unit_scale) if isinstance(module, Scaled) else module.scale
        for path, module in network.named_modules()
        if isinstance(module, Scaled | Constant)
    }
