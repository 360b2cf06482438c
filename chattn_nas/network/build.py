"""Builds the network of an architecture."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import torch
from torch import Tensor, nn

from chattn_nas import attention
from chattn_nas.arguments import at_least, checked
from chattn_nas.errors import InputError
from chattn_nas.image_size import ImageSize, pair
from chattn_nas.network import finetune
from chattn_nas.network.branches import scale_branches
from chattn_nas.network.finetune import parts_of
from chattn_nas.network.head import put_second_order_head
from chattn_nas.network.layout import Layout, every_slot_is_kept, layout
from chattn_nas.network.model import create_backbone
from chattn_nas.network.stage_scope import share
from chattn_nas.network.start import AttentionSlot
from chattn_nas.network.surgery import empty, place
from chattn_nas.network.wake import wake
from chattn_nas.space import NONE, Architecture, Backbone, SlotShape, StageChoice


def derived_seed(seed: int, *words: object) -> int:
    """Derive a seed, the same for the same words."""
    return int.from_bytes(hashlib.sha256(repr((seed, *words)).encode()).digest()[:8], "big") >> 1


@checked
def build_network(
    architecture: Architecture,
    *,
    num_classes: int = 10,
    in_chans: int = 3,
    image_size: ImageSize = 224,
    seed: int | None = None,
    pretrained: bool = False,
    weights: str | Path | None = None,
    identity_init: bool = False,
    branch_scale: float = 1.0,
    images: Tensor | None = None,
    freeze: Sequence[str | int] = (),
    layer_decay: float = 1.0,
    device: torch.device | str | None = None,
) -> nn.Module:
    """Build the network, in train mode; it has ``network.architecture`` and ``network.attention_slots``.

    Args:
        architecture: Backbone and a choice per stage.
        num_classes, in_chans, image_size: Properties of the data; the size is one number, or (height, width).
        seed: Initialises the backbone before attention is placed, and every attention under a seed of its own slot:
            two architectures of one seed share all that they have in common. ``None`` draws one from the global state,
            which itself stays as it was.
        pretrained: Load timm's pretrained weights before attention is placed.
        weights: A local file of weights instead.
        identity_init: Every attention starts as the exact identity, so the network computes what the backbone did. If
            the pretrained backbone had attention of its own, it must be kept for that (``existing: keep``).
        branch_scale: Factor at which the residual branches start; any other than 1 needs ``images`` to measure on.
        images: A batch (B, in_chans, H, W) of normalised training images.
        freeze: ``stem`` and numbers of stages whose backbone is not trained.
        layer_decay: Factor of the learning rate per part towards the stem; stored in ``network.rate_factors``.
        device: Device to build on.

    Raises:
        BackboneError: The backbone does not exist, has no place for attention, or lacks a part in ``freeze``.
        InputError: A stage cannot take its choice; ``where`` starts with the stage's number, from 1.
    """
    at_least(1, "in_chans", in_chans)
    at_least(1, "image_size", min(pair(image_size)))
    at_least(0, "num_classes", num_classes)
    if seed is not None and not 0 <= seed < 2**63:
        raise InputError(f"seed must be at least 0 and below 2**63, not {seed}", where=("seed",))
    if not 0 < layer_decay <= 1:
        raise InputError(f"layer_decay must be above 0 and at most 1, not {layer_decay:g}", where=("layer_decay",))
    if branch_scale != 1:
        _check_images_for_scale(branch_scale, images, in_chans)
    backbone = architecture.backbone
    plan = layout(backbone, in_chans, image_size)
    if not plan.stages and any(choice.type != NONE for choice in architecture.stages):
        raise every_slot_is_kept(backbone)
    with torch.random.fork_rng(devices=[]):
        if seed is None:
            seed = int(torch.randint(2**62, ()))
        model, parts = prepared_backbone(
            backbone, plan, num_classes=num_classes, in_chans=in_chans, image_size=image_size, seed=seed,
            pretrained=pretrained, weights=weights, branch_scale=branch_scale, images=images, freeze=freeze,
            device=device,
        )  # fmt: skip
        placed: list[tuple[int, str, nn.Module]] = []
        for index, choice in enumerate(architecture.choices(len(plan.stages))):
            if choice.type != NONE:
                try:
                    placed += _fill(model, plan, index, choice, num_classes, seed, identity_init, device)
                except InputError as error:
                    raise error.at(index + 1, choice.type) from None
        put_head(model, backbone, num_classes=num_classes, in_chans=in_chans, image_size=image_size, seed=seed)
    if any(attention.get(choice.type).scope == "stage" for choice in architecture.stages):
        _check_that_state_arrives(model, architecture, in_chans, image_size)
    model.architecture = architecture  # type: ignore[assignment]
    model.attention_slots = _slots(model, plan, architecture, placed)  # type: ignore[assignment]
    if layer_decay != 1:
        model.rate_factors = finetune.rate_factors(model, parts, layer_decay)  # type: ignore[assignment]
    return model.train()


def _check_images_for_scale(branch_scale: float, images: Tensor | None, in_chans: int) -> None:
    """Check that branches can be brought to a scale.

    Raises:
        InputError: The scale is not positive, or there are no images to measure it on.
    """
    if not 0 < branch_scale < math.inf:
        raise InputError(f"branch_scale must be above 0, not {branch_scale:g}", where=("branch_scale",))
    if images is None:
        raise InputError("a branch_scale other than 1 is measured on images: give some", where=("images",))
    if images.ndim != 4 or not len(images) or images.shape[1] != in_chans or not images.is_floating_point():
        raise InputError(
            f"images must be normalised ones (B, {in_chans}, H, W), not {images.dtype} of {tuple(images.shape)}",
            where=("images",),
        )


def prepared_backbone(
    backbone: Backbone,
    plan: Layout,
    *,
    num_classes: int,
    in_chans: int,
    image_size: ImageSize,
    seed: int,
    pretrained: bool,
    weights: str | Path | None,
    branch_scale: float,
    images: Tensor | None,
    freeze: Sequence[str | int],
    device: torch.device | str | None,
) -> tuple[nn.Module, dict[int, list[nn.Parameter]]]:
    """Build the backbone that attention is placed in, and return it with its parameters by part.

    It is drawn under the seed, from which the global random state continues. Arguments are those of
    :func:`build_network`."""
    torch.manual_seed(seed)
    model = create_backbone(
        backbone, num_classes=num_classes, in_chans=in_chans, device=device, pretrained=pretrained, weights=weights
    )
    initial = not pretrained and weights is None and "zero_init_last" not in dict(backbone.options)
    if initial and torch.device(device or "cpu").type != "meta":
        size = pair(image_size)
        blocks = [*(block for stage in plan.blocks for block in stage), *plan.kept]
        wake(model, blocks, plan.convolutions, in_chans=in_chans, image_size=size, key=(backbone, in_chans))
    for block in plan.held:
        empty(model, block)
    if branch_scale != 1 and torch.device(device or "cpu").type != "meta":
        assert images is not None, "build_network has seen to it"
        scale_branches(model, (block for stage in plan.blocks for block in stage), images, branch_scale)
    parts = parts_of(model, plan)
    finetune.freeze(parts, freeze)
    return model, parts


def put_head(
    model: nn.Module, backbone: Backbone, *, num_classes: int, in_chans: int, image_size: ImageSize,
    seed: int,
) -> None:  # fmt: skip
    """Put in the head that a backbone names, in place, drawn under a seed of its own."""
    if backbone.head == "isqrt_cov":
        torch.manual_seed(derived_seed(seed, "head"))
        put_second_order_head(model, backbone.model, num_classes, in_chans, image_size)


def _slots(
    model: nn.Module, plan: Layout, architecture: Architecture, placed: list[tuple[int, str, nn.Module]]
) -> tuple[AttentionSlot, ...]:
    """The current slots of the attentions, from the stage, the block and the module of each."""
    paths = {module: path for path, module in model.named_modules()}
    slots, choices = [], architecture.choices(len(plan.stages))
    for index, block, module in placed:
        stage = plan.stages[index]
        place = choices[index].place(stage)
        inside = place == "before_add" and stage.kind != "stage"
        slots.append(AttentionSlot(index, paths[module], block, bool(plan.convolutions_at(block, place)), inside))
    return tuple(slots)


def _check_that_state_arrives(
    model: nn.Module, architecture: Architecture, in_chans: int, image_size: ImageSize
) -> None:
    """One forward on the meta device: blocks that do not follow each other directly cannot share a cell."""
    size = pair(image_size)
    meta = copy.deepcopy(model).to("meta").eval()
    try:
        with torch.no_grad():
            meta(torch.empty(2, in_chans, *size, device="meta"))
    except RuntimeError as error:
        raise InputError(f"{architecture} cannot be built on {architecture.backbone.model}: {error}") from error


def _fill(
    model: nn.Module,
    plan: Layout,
    index: int,
    choice: StageChoice,
    num_classes: int,
    seed: int,
    identity_init: bool,
    device: torch.device | str | None,
) -> list[tuple[int, str, nn.Module]]:
    """Put the attention of one choice into one stage; return stage, block's path and module of each place."""
    stage, blocks = plan.stages[index], plan.blocks[index]
    make = maker(choice, stage.name, num_classes, seed, identity_init, device)
    slots = choice.slots(stage)
    if attention.get(choice.type).scope == "stage":
        shared = share(model, plan, index, choice.place(stage), slots, make)
        return [(index, path, module) for path, module in shared]
    placed = []
    for number in dict.fromkeys(slot.block for slot in slots):
        block = blocks[number]
        modules = [make(slot) for slot in slots if slot.block == number]
        convolutions = plan.convolutions_at(block.path, choice.place(stage))
        place(model, block, choice.place(stage), modules, convolutions)
        placed += [(index, block.path, module) for module in modules]
    return placed


def maker(
    choice: StageChoice, stage: str, num_classes: int, seed: int, identity_init: bool, device: torch.device | str | None
) -> Callable[[SlotShape], nn.Module]:
    """The functions that build the attentions of one choice in a stage, each under the seed of its slot."""
    numbers: dict[int, count[int]] = {}

    def make(shape: SlotShape) -> nn.Module:
        """Build the attention of one slot."""
        number = next(numbers.setdefault(shape.block, count()))
        torch.manual_seed(derived_seed(seed, stage, shape.block, *([number] if number else [])))
        kind = attention.get(choice.type)  # the choice has checked its values already
        module = kind.build(shape.channels, shape.feature_size, num_classes, choice.values)
        if identity_init:
            module = attention.IdentityStart(module, shape.channels)
        return module.to(device or "cpu")

    return make
