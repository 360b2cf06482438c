"""Puts attention modules where a layout says, and takes existing ones out."""

from __future__ import annotations

from torch import Tensor, nn

from chattn_nas.attention import Placement
from chattn_nas.network._timm import gain
from chattn_nas.network.slots import Block


def put(model: nn.Module, path: str, module: nn.Module | None) -> None:
    """Replace the submodule called ``path``; it keeps its place in the order."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


class Rescaled(nn.Module):
    """Attention behind which the block multiplies by ``gain`` (NFNet's 2): identity stays identity.

    Multiplying by a power of two is exact, so nothing is lost.
    """

    def __init__(self, attention: nn.Module, gain: float) -> None:
        super().__init__()
        self.attention = attention
        self.scale = 1.0 / gain

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return self.attention(x) * self.scale


class ChannelsLast(nn.Module):
    """Attention on maps that a model keeps as (B, H, W, C)."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same."""
        return self.attention(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def empty(model: nn.Module, block: Block) -> None:
    """Take the attention out of a native slot, as the family leaves it out itself.

    ``Identity`` is called by every family alike, but NFNet multiplies what its slot gives, so there it is ``None``.
    """
    module = model.get_submodule(block.path)
    setattr(module, block.slot, nn.Identity() if gain(module) is None else None)


def place(
    model: nn.Module,
    block: Block,
    placement: Placement,
    modules: list[nn.Module],
    convolutions: tuple[str, ...] = (),
) -> None:
    """Put attention into one block.

    Args:
        model: The network; changed.
        block: Which block.
        placement: ``before_add``: the block's slot. ``before_block``, ``after_add``: on the block's input or output,
            by an ``nn.Sequential`` around it. The others: an ``nn.Sequential`` around each of ``convolutions``.
        modules: One, or as many as ``convolutions``.
        convolutions: Paths, for placements at convolutions.
    """
    if convolutions:
        for path, attention in zip(convolutions, modules, strict=True):
            pair = (attention, model.get_submodule(path))
            put(model, path, nn.Sequential(*(reversed(pair) if placement == "after_spatial_conv" else pair)))
        return
    (attention,) = modules
    if block.channels_last:
        attention = ChannelsLast(attention)
    module = model.get_submodule(block.path)
    if block.kind == "stage" or placement == "after_add":
        put(model, block.path, nn.Sequential(module, attention))
    elif placement == "before_block":
        put(model, block.path, nn.Sequential(attention, module))
    elif block.kind == "branch":
        old = getattr(module, block.slot)
        bare = old is None or isinstance(old, nn.Identity)
        setattr(module, block.slot, attention if bare else nn.Sequential(attention, old))
    else:
        factor = gain(module)
        setattr(module, block.slot, attention if factor is None else Rescaled(attention, factor))
