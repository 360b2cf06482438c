"""Surveys which models can take attention, and where, for ``chattn-nas backbones`` and before a search."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch

from chattn_nas.errors import BackboneError, first_line
from chattn_nas.image_size import ImageSize, pair
from chattn_nas.network._timm import family_of, input_size
from chattn_nas.network.build import build_network
from chattn_nas.network.layout import Layout, layout
from chattn_nas.space import NONE, Architecture, Backbone

#: Image sizes that a model is tried at, smallest first: its last maps may vanish; then the one it was made for.
SIZES = (64, 96, 128, 224, 256)
#: Fits any number of channels and any map.
PROBE = "eca"


@dataclass(frozen=True, kw_only=True)
class BackboneSurvey:
    """One model.

    Attributes:
        model, family: The model's name, and timm's module that defines it.
        stage_kinds: Kind of each stage's slots: ``native``, ``branch``, ``stage``.
        stages: Names of the stages' modules.
        slots: Number of slots per stage.
        channels: Channels at the slots, per stage: one number, or the smallest and the largest.
        blocks: Number of blocks in the model, with or without a slot of their own.
        slotted: Number of blocks with a slot of their own.
        held: Number of slots that hold an attention already.
        image_size: Image size of the survey, in pixels.
        parameters: Parameters of the bare model with 10 classes.
    """

    model: str
    family: str
    stage_kinds: tuple[str, ...]
    stages: tuple[str, ...]
    slots: tuple[int, ...]
    channels: tuple[str, ...]
    blocks: int
    slotted: int
    held: int
    image_size: int
    parameters: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of slots that occur."""
        return tuple(dict.fromkeys(self.stage_kinds))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"kinds": self.kinds}


def survey(model: str, image_size: int | None = None) -> BackboneSurvey:
    """Find a model's slots.

    Args:
        model: Name of a timm model.
        image_size: Size in pixels; by default the smallest of :data:`SIZES` that it takes, or its own size.

    Raises:
        BackboneError: There is no such model, or attention cannot be placed in it; the message says why.
    """
    size, plan = _at_some_size(model, SIZES if image_size is None else (image_size,))
    shapes = [stage.places["before_add"] for stage in plan.stages]
    widths = [sorted({shape.channels for shape in of_stage}) for of_stage in shapes]
    return BackboneSurvey(
        model=model,
        family=family_of(model),
        stage_kinds=tuple(stage.kind for stage in plan.stages),
        stages=tuple(stage.name for stage in plan.stages),
        slots=tuple(stage.blocks for stage in plan.stages),
        channels=tuple(f"{w[0]}" if len(w) == 1 else f"{w[0]}-{w[-1]}" for w in widths),
        blocks=plan.all_blocks,
        slotted=plan.slotted,
        held=len(plan.held),
        image_size=size,
        parameters=plan.parameters,
    )


def _at_some_size(model: str, sizes: tuple[int, ...]) -> tuple[int, Layout]:
    own = input_size(model) if sizes is SIZES else None
    sizes = (*sizes, *([own] if own and own not in sizes else []))
    refused: BackboneError | None = None
    for size in sizes:
        try:
            return size, layout(Backbone(model), 3, size)
        except BackboneError as error:
            # Another size helps only where the image was to blame; the size it was made for says it best.
            if "cannot take" not in error.message:
                raise
            refused = error if refused is None or size == own else refused
    assert refused is not None
    raise refused


def check(survey: BackboneSurvey) -> None:
    """Check a surveyed model with :func:`check_backbone`.

    Raises:
        BackboneError: It cannot be built or run, or an attention in it has no gradient.
    """
    check_backbone(Backbone(survey.model), image_size=survey.image_size)


@lru_cache(64)
def check_backbone(backbone: Backbone, *, in_chans: int = 3, image_size: ImageSize = 224) -> Layout:
    """Build a backbone with attention in every slot, run it forward and backward, and check every gradient.

    The result is cached per process.

    Args:
        backbone: The backbone.
        in_chans, image_size: Channels and image size of the images.

    Raises:
        BackboneError: It cannot be built or run, or an attention in it has no gradient.
    """
    plan = layout(backbone, in_chans, image_size)
    wanted = sum(stage.blocks for stage in plan.stages)
    network = build_network(
        Architecture.uniform(backbone, PROBE if plan.stages else NONE),
        num_classes=5, in_chans=in_chans, image_size=image_size, seed=0,
    )  # fmt: skip
    size = pair(image_size)
    probes = [(name, module) for name, module in network.named_modules() if type(module).__name__ == "ECA"]
    if plan.held and backbone.existing == "keep":
        wanted = len(probes)  # timm's own are among them
    if len(probes) != wanted:
        raise BackboneError(f"{backbone.model} holds {len(probes)} attentions instead of {wanted}", where=("model",))
    generator = torch.Generator().manual_seed(0)
    for training in (True, False):  # in use as well: in training a stochastic depth may skip a slot
        network.train(training)
        images = torch.randn(2, in_chans, *size, generator=generator)
        try:
            output = network(images)
            if not isinstance(output, torch.Tensor):
                raise TypeError(
                    f"{'in training' if training else 'in use'} it gives a {type(output).__name__}, not logits"
                )
            output.square().mean().backward()
        except Exception as error:  # whatever a model does with modules that it does not expect
            raise BackboneError(
                f"{backbone.model} does not run with attention: {first_line(error)}", where=("model",)
            ) from error
        idle = [name for name, module in probes if not _has_gradient(module)]
        if not idle:
            return plan
        frozen = [name for name, module in probes if not any(one.requires_grad for one in module.parameters())]
        if frozen:
            raise BackboneError(
                f"{backbone.model} freezes {len(frozen)} of {len(probes)} attentions itself ({', '.join(frozen[:3])}"
                f"{', ...' if len(frozen) > 3 else ''}), as a train() of its own that sets requires_grad does: let it "
                "freeze nothing, and name the parts in freeze",
                where=("model",),
            )
    raise BackboneError(
        f"{backbone.model}: no gradient reaches {len(idle)} of {len(probes)} attentions in the first step "
        f"({', '.join(idle[:3])}{', ...' if len(idle) > 3 else ''}); something beside them is zero at the start",
        where=("model",),
    )


def _has_gradient(module: torch.nn.Module) -> bool:
    return all(p.grad is not None and bool(p.grad.isfinite().all()) and bool(p.grad.any()) for p in module.parameters())
