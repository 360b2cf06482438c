"""Where attention can sit in a timm model."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from chattn_nas.errors import BackboneError
from chattn_nas.network.model import create_backbone
from chattn_nas.space import Backbone, SlotShape, Stage

NATIVE = "se"


@dataclass(frozen=True)
class Slot:
    """One place in a model: attribute ``name`` of the module at path ``block``, in the stage called ``stage``."""

    stage: str
    block: str
    name: str


def find_slots(model: nn.Module) -> list[Slot]:
    """Every slot, in the order of the forward pass.

    Raises:
        BackboneError: The model has no stages or no place for attention.
    """
    info = getattr(model, "feature_info", None)
    if info is None:
        raise BackboneError(
            f"{type(model).__name__} does not tell its stages (it has no feature_info)", where=("model",)
        )
    features = [entry["module"] for entry in info]
    order = [name for name, _ in model.named_modules()]
    slots = []
    for path, module in model.named_modules():
        if hasattr(module, NATIVE) and hasattr(module, "zero_init_last"):
            after = [f for f in features if path.startswith(f + ".") or order.index(f) >= order.index(path)]
            slots.append(Slot(after[0] if after else features[-1], path, NATIVE))
    if not slots:
        raise BackboneError(f"{type(model).__name__} has no place for channel attention", where=("model",))
    return slots


@cache
def stages(backbone: Backbone, *, in_chans: int = 3, image_size: int = 224) -> tuple[Stage, ...]:
    """The stages of a backbone, with channels and feature size of every slot, from one forward on the meta device.

    Raises:
        BackboneError: No such model, or attention cannot be placed in it.
    """
    model = create_backbone(backbone, num_classes=10, in_chans=in_chans, device="meta").eval()
    slots = find_slots(model)
    seen: dict[Slot, tuple[int, ...]] = {}

    for slot in slots:
        probe = nn.Identity()
        probe.register_forward_hook(lambda _m, _i, output, slot=slot: seen.__setitem__(slot, tuple(output.shape)))
        setattr(model.get_submodule(slot.block), slot.name, probe)
    with torch.no_grad():
        model(torch.empty(2, in_chans, image_size, image_size, device="meta"))
    by_stage = defaultdict(list)
    for slot in slots:
        _, channels, height, width = seen[slot]
        by_stage[slot.stage].append(SlotShape(len(by_stage[slot.stage]), channels, (height, width)))
    return tuple(Stage(name, "native", len(shapes), {"before_add": tuple(shapes)}) for name, shapes in by_stage.items())
