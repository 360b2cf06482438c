"""Puts attention modules where a layout says, and takes existing ones out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from chattn_nas.attention import Placement
from chattn_nas.network._timm import gain
from chattn_nas.network.slots import Block


def put(model: nn.Module, path: str, module: nn.Module | None) -> None:
    """Replace the submodule called ``path``; it keeps its place in the order."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


class Around(nn.Sequential):
    """A module with an attention in front of it or behind it; what is asked of it is asked of the module.

    Some networks read attributes of their own blocks (``block.stride``).

    Args:
        modules: In the order of the forward pass.
        inner: The index of the module that was there before.
    """

    def __init__(self, *modules: nn.Module, inner: int = 0) -> None:
        super().__init__(*modules)
        self._inner = str(inner)

    def __getattr__(self, name: str) -> Any:
        """An attribute of the module inside, unless torch knows it or it is private."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            inner = vars(self).get("_modules", {}).get(vars(self).get("_inner"))
            if inner is None or name.startswith("_"):
                raise
            return getattr(inner, name)


class Rescaled(nn.Module):
    """Corrects an attention for the block's ``gain`` behind it (NFNet: 2), so that identity stays identity.

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
    """Attention in a model with maps (B, H, W, C)."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same."""
        return self.attention(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class Installed:
    """The changes by a call of :func:`place`, in a part of the network that was untouched before.

    Attributes:
        attentions: Path of each attention.
        moved: Paths of modules that are now a child of what stands there, and the name of the child.
    """

    attentions: tuple[str, ...]
    moved: tuple[tuple[str, str], ...] = ()


def empty(model: nn.Module, block: Block) -> None:
    """Remove the attention from a native slot, as the family itself leaves it out.

    ``Identity`` suits every family but NFNet, which multiplies the slot's output by its gain and needs ``None``.
    """
    module = model.get_submodule(block.path)
    setattr(module, block.slot, nn.Identity() if gain(module) is None else None)


def place(
    model: nn.Module,
    block: Block,
    placement: Placement,
    modules: list[nn.Module],
    convolutions: tuple[str, ...] = (),
) -> Installed:
    """Put attention into one block; return where it is and what it moved.

    Args:
        model: The network; changed in place.
        block: The block.
        placement: ``before_add``: the block's slot. ``before_block``, ``after_add``: on the block's input or output,
            by an :class:`Around`. The others: an :class:`Around` for each of ``convolutions``.
        modules: One module, or one for each of ``convolutions``.
        convolutions: Paths, for placements at convolutions.
    """
    if convolutions:
        first, second = ("1", "0") if placement == "after_spatial_conv" else ("0", "1")
        for path, attention in zip(convolutions, modules, strict=True):
            pair = (attention, model.get_submodule(path))
            put(model, path, Around(*(reversed(pair) if first == "1" else pair), inner=int(second)))
        return Installed(
            tuple(f"{path}.{first}" for path in convolutions), tuple((path, second) for path in convolutions)
        )
    (attention,) = modules
    inside = ""
    if block.channels_last:
        attention, inside = ChannelsLast(attention), ".attention"
    module = model.get_submodule(block.path)
    if block.kind == "stage" or placement == "after_add":
        put(model, block.path, Around(module, attention))
        return Installed((f"{block.path}.1{inside}",), ((block.path, "0"),))
    if placement == "before_block":
        put(model, block.path, Around(attention, module, inner=1))
        return Installed((f"{block.path}.0{inside}",), ((block.path, "1"),))
    slot = f"{block.path}.{block.slot}"
    if block.kind == "branch":
        old = getattr(module, block.slot)
        bare = old is None or isinstance(old, nn.Identity)
        setattr(module, block.slot, attention if bare else nn.Sequential(attention, old))
        return Installed((f"{slot}{inside}",)) if bare else Installed((f"{slot}.0{inside}",), ((slot, "1"),))
    factor = gain(module)
    setattr(module, block.slot, attention if factor is None else Rescaled(attention, factor))
    return Installed((f"{slot}{'' if factor is None else '.attention'}{inside}",))
