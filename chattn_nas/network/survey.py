"""Which timm models can take attention, and where: what ``chattn-nas backbones`` lists and tries."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from chattn_nas.errors import BackboneError
from chattn_nas.network.build import build_network
from chattn_nas.network.layout import layout
from chattn_nas.network.model import import_timm
from chattn_nas.space import Architecture, Backbone

#: Image sizes that a model is tried at, smallest first: its last maps may vanish.
SIZES = (64, 96, 128, 224, 256)
#: Fits any number of channels and any map.
PROBE = "eca"


@dataclass(frozen=True, kw_only=True)
class Survey:
    """One model.

    Attributes:
        model, family: Name, and timm's module that defines it.
        kinds: Kinds of its slots: ``native``, ``branch``, ``stage``.
        stages: Their modules' names.
        slots: Blocks that take attention, per stage.
        channels: Channels at their slots, per stage: one number, or the smallest and the largest.
        held: Slots that hold an attention already.
        image_size: At which that was found, in pixels.
    """

    model: str
    family: str
    kinds: tuple[str, ...]
    stages: tuple[str, ...]
    slots: tuple[int, ...]
    channels: tuple[str, ...]
    held: int
    image_size: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def family_of(model: str) -> str:
    """timm's module that defines a model."""
    import_timm()
    import timm

    return str(timm.models.model_entrypoint(model).__module__.rpartition(".")[2])


def survey(model: str, image_size: int | None = None) -> Survey:
    """Find a model's slots.

    Args:
        model: Name of a timm model.
        image_size: In pixels; by default the smallest of :data:`SIZES` that it takes.

    Raises:
        BackboneError: There is no such model, or attention cannot be placed in it; the sentence says why.
    """
    sizes = SIZES if image_size is None else (image_size,)
    for size in sizes:
        try:
            found = layout(Backbone(model), 3, size)
        except BackboneError as error:
            # Another size helps only where the image was to blame.
            if size == sizes[-1] or "cannot take" not in error.message:
                raise
            continue
        shapes = [stage.places["before_add"] for stage in found.stages]
        widths = [sorted({shape.channels for shape in of_stage}) for of_stage in shapes]
        return Survey(
            model=model,
            family=family_of(model),
            kinds=tuple(dict.fromkeys(stage.kind for stage in found.stages)),
            stages=tuple(stage.name for stage in found.stages),
            slots=tuple(stage.blocks for stage in found.stages),
            channels=tuple(f"{w[0]}" if len(w) == 1 else f"{w[0]}-{w[-1]}" for w in widths),
            held=len(found.held),
            image_size=size,
        )
    raise AssertionError("unreachable: the last size raises or returns")


def check(found: Survey) -> None:
    """Build a surveyed model with attention in every slot, run it forward and backward, and look at every gradient.

    Raises:
        BackboneError: It cannot be built or run, or an attention in it has no gradient.
    """
    architecture = Architecture.uniform(found.model, PROBE)
    network = build_network(architecture, num_classes=5, image_size=found.image_size, seed=0)
    images = torch.randn(2, 3, found.image_size, found.image_size, generator=torch.Generator().manual_seed(0))
    try:
        output = network(images)
        output = output[0] if isinstance(output, tuple | list) else output
        output.square().mean().backward()
    except Exception as error:  # whatever a model does with modules that it does not expect
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackboneError(f"{found.model} does not run with attention: {reason}", where=("model",)) from error
    probes = [(name, module) for name, module in network.named_modules() if type(module).__name__ == "ECA"]
    if len(probes) != sum(found.slots):
        raise BackboneError(f"{found.model} holds {len(probes)} attentions instead of {sum(found.slots)}")
    idle = [name for name, module in probes if not _has_gradient(module)]
    if idle:
        raise BackboneError(f"{found.model} never uses its attention in {', '.join(idle[:3])}", where=("model",))


def _has_gradient(module: torch.nn.Module) -> bool:
    return all(p.grad is not None and bool(p.grad.isfinite().all()) and bool(p.grad.any()) for p in module.parameters())
