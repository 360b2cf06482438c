"""The scale at which the residual branches of a backbone start.

timm starts the last norm of every branch at zero and this project at 1; a short training of a small network may need
more. The scale is part of the recipe, the same for every network of a search, and set before attention is placed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from chattn_nas.errors import InputError
from chattn_nas.network._timm import BRANCH
from chattn_nas.network.slots import Block
from chattn_nas.network.start import AttentionSlot, Measuring, SlotStart, undisturbed


def scale_branches(model: nn.Module, blocks: Iterable[Block], images: Tensor, factor: float) -> list[SlotStart]:
    """Multiply the end of every residual branch by ``factor``, in place: its last norm, gain or layer scale.

    A trial run of the block shows whether a parameter scales its branch. Branches without such a parameter stay as they
    are.

    Args:
        model: The backbone, without attention.
        blocks: Its blocks.
        images: A batch (B, C, H, W) for the model.
        factor: Factor for the branches' scale.

    Raises:
        InputError: No branch has a scale of its own.
    """
    ends, slots = [], []
    for block in blocks:
        if block.kind == "stage":
            continue
        module = model.get_submodule(block.path)
        name = next((name for name in BRANCH if name in module._modules or hasattr(module, name)), block.slot)
        old = getattr(module, name)
        ends.append((module, name, old))
        setattr(module, name, nn.Sequential(nn.Identity(), *([old] if old is not None else [])))
        slots.append(AttentionSlot(0, f"{block.path}.{name}.0", block.path, before_conv=False, inside=True))
    try:
        with undisturbed(model):
            starts = _Scaling(model, tuple(slots), factor).run(images)
    finally:
        for module, name, old in ends:
            setattr(module, name, old)
    if not any(start.scale == factor for start in starts):
        raise InputError("no residual branch of this backbone has a scale of its own to start from", value=factor)
    return starts


class _Scaling(Measuring):
    """Scales the branches one after the other, in the order of the forward pass."""

    def __init__(self, model: nn.Module, slots: tuple[AttentionSlot, ...], factor: float) -> None:
        super().__init__(model, slots)
        self.factor_of_branches = factor

    def measure(self, slot: AttentionSlot, x: Tensor, original: Callable[[Tensor], Tensor]) -> Tensor:
        """Scale one branch at its end."""
        scales = self.scales_before(slot, x)
        for parameter in scales.values():
            parameter.mul_(self.factor_of_branches)
        factor = self.factor_of_branches if scales else 1.0
        self.starts[slot.path] = SlotStart(slot, 1.0, factor, ", ".join(scales) or "as it is")
        return original(x * factor)
