"""The stages of a backbone: its blocks, with the channels and the feature size of every place for attention.

Names say where attention might sit (:mod:`chattn_nas.network.slots`), one forward pass on the meta device shows what
is there (:mod:`chattn_nas.network.observe`), and only what is proved becomes a slot (:mod:`chattn_nas.network.proof`).
Sizes come from that pass too, never from dividing by a stride: families round differently.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn

from chattn_nas.arguments import checked
from chattn_nas.attention import Placement
from chattn_nas.errors import BackboneError, first_line
from chattn_nas.image_size import ImageSize, pair
from chattn_nas.network import own
from chattn_nas.network._timm import feature_info
from chattn_nas.network.model import create_backbone
from chattn_nas.network.observe import Observed, Shape, observe, runs_with
from chattn_nas.network.proof import prove
from chattn_nas.network.slots import Block, count_blocks, features_of, refuse_transformer
from chattn_nas.parts import is_path
from chattn_nas.space import Backbone, SlotShape, Stage


@dataclass(frozen=True)
class Layout:
    """Where attention can sit in one backbone at one image size.

    Attributes:
        stages: What a search space must know.
        blocks: Per stage, its blocks in the order of the forward pass.
        convolutions: Per block's path, its convolutions' paths in the order of the forward pass.
        inner: Per block's path, its last spatial convolution and the one that follows it, which is itself where none
            does: ``after_spatial_conv`` is behind the first, ``before_last_conv`` in front of the second.
        held: Blocks whose slot holds an attention that ``existing: replace`` empties.
        kept: Blocks whose slot holds one that ``existing: keep`` leaves.
        all_blocks: Blocks of the model, with a slot or without.
        slotted: Those with a slot of their own.
        parameters: Parameters of the bare backbone with 10 classes.
        left_out: What was taken for a slot by its name and is none: path and reason.
    """

    stages: tuple[Stage, ...]
    blocks: tuple[tuple[Block, ...], ...]
    convolutions: dict[str, tuple[str, ...]] = field(hash=False)
    inner: dict[str, tuple[str, str]] = field(hash=False)
    held: tuple[Block, ...]
    kept: tuple[Block, ...]
    all_blocks: int
    slotted: int
    parameters: int
    left_out: tuple[tuple[str, str], ...] = ()

    def convolutions_at(self, block: str, placement: Placement) -> tuple[str, ...]:
        """The convolutions of a block that a placement puts attention at; none for those that leave them alone."""
        if placement == "before_convs":
            return self.convolutions.get(block, ())
        if placement == "after_spatial_conv":
            return self.inner[block][:1]
        return self.inner[block][1:] if placement == "before_last_conv" else ()

    @property
    def share(self) -> str:
        """What share of the blocks has a slot of its own, and which stages take attention as a whole instead."""
        whole = [str(number) for number, stage in enumerate(self.stages, 1) if stage.kind == "stage"]
        behind = f"; stage{'s' * (len(whole) > 1)} {', '.join(whole)}: behind the whole stage" if whole else ""
        counted = f"{self.slotted} of {self.all_blocks}" if self.slotted else "none of its"
        return f"{counted} blocks have a slot of their own{behind}"


@checked
def stages(backbone: Backbone, *, in_chans: int = 3, image_size: ImageSize = 224) -> tuple[Stage, ...]:
    """The stages of a backbone that can take attention.

    A stage none of whose blocks has a slot is of kind ``stage`` and has one place, behind it, called ``before_add``
    since that is what types take by default. The others offer ``before_add`` (the slot), ``before_block``,
    ``after_add``, ``before_convs``, ``after_spatial_conv`` and ``before_last_conv`` where all of their blocks allow it.
    There are none where every slot holds an
    attention that is kept.

    Raises:
        BackboneError: No such model, or attention cannot be placed in it.
    """
    return layout(backbone, in_chans, image_size).stages


def every_slot_is_kept(backbone: Backbone) -> BackboneError:
    """What is said where attention shall be put into a backbone whose slots all hold one that is kept."""
    return BackboneError(
        f"every slot of {backbone.model} holds an attention already: take existing: replace, or only none",
        where=("existing",),
    )


def layout(backbone: Backbone, in_chans: int, image_size: ImageSize) -> Layout:
    """The layout of a backbone; kept for the 256 last asked for."""
    return _layout(backbone, in_chans, pair(image_size))


@lru_cache(256)
def _layout(backbone: Backbone, in_chans: int, size: tuple[int, int]) -> Layout:
    with torch.random.fork_rng(devices=[]):
        model = create_backbone(backbone, num_classes=10, in_chans=in_chans, device="meta").eval()
    refuse_transformer(model, backbone.model)
    image = torch.empty(2, in_chans, *size, device="meta")
    _check_classifier(model, image, backbone.model)
    if is_path(backbone.model) and not feature_info(model):
        own.tell_stages(model, own.find_stages(model, image))
    features = features_of(model, backbone.model)
    proved = prove(model, features, image, backbone.model, keep=backbone.existing == "keep")
    if not proved.blocks and not proved.kept:
        raise BackboneError(f"{backbone.model} has no place for channel attention: {proved.reason}", where=("model",))
    by_stage: dict[str, list[Block]] = defaultdict(list)
    for block in proved.blocks:
        by_stage[block.stage].append(block)
    order = [feature.path for feature in features if feature.path in by_stage]
    seen = observe(model, proved.blocks, image)
    everything = [
        path for block in proved.blocks if block.kind != "stage"
        for path in (block.path, *seen.convolutions.get(block.path, ()))
    ]  # fmt: skip
    inner = {path: found for path in seen.convolutions if (found := _inner(model, seen.convolutions[path]))}
    wrapping = _Wrapping(model, image, runs_with(model, everything, image))
    slotted = [block.path for block in proved.blocks if block.kind != "stage"] + [block.path for block in proved.kept]
    return Layout(
        stages=tuple(_stage(stage, by_stage[stage], seen, inner, wrapping) for stage in order),
        blocks=tuple(tuple(by_stage[stage]) for stage in order),
        convolutions={path: tuple(names) for path, names in seen.convolutions.items()},
        inner=inner,
        held=tuple(block for block in proved.blocks if block.held),
        kept=tuple(proved.kept),
        all_blocks=count_blocks(model, features, slotted),
        slotted=len(slotted),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        left_out=tuple(proved.left_out.items()),
    )


def _check_classifier(model: nn.Module, image: Tensor, name: str) -> None:
    """See that the bare model takes the image and gives one number per class.

    Raises:
        BackboneError: It does not.
    """
    size = "x".join(map(str, image.shape[2:]))
    try:
        with torch.no_grad():
            result = model(image)
    except Exception as error:  # whatever a model does with an image that does not suit it
        raise BackboneError(f"{name} cannot take {size} images: {first_line(error)}", where=("model",)) from error
    if not isinstance(result, Tensor) or tuple(result.shape) != (image.shape[0], 10):
        given = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise BackboneError(
            f"{name} is no classifier: for {image.shape[0]} images and 10 classes it gives {given}", where=("model",)
        )


def _inner(model: nn.Module, convolutions: Sequence[str]) -> tuple[str, str] | None:
    """The last spatial convolution of a block, and the one that follows it (a shortcut's comes later)."""
    spatial = [n for n, path in enumerate(convolutions) if max(model.get_submodule(path).kernel_size) > 1]  # type: ignore[arg-type]
    if not spatial:
        return None
    last = spatial[-1]
    return convolutions[last], convolutions[min(last + 1, len(convolutions) - 1)]


class _Wrapping:
    """Whether modules can be wrapped: known at once where all of them can, else tried per stage."""

    def __init__(self, model: nn.Module, image: Tensor, known: bool) -> None:
        self.model, self.image, self.known = model, image, known

    def works(self, paths: Sequence[str]) -> bool:
        """Whether the model runs with a wrapper around each of these modules."""
        return self.known or runs_with(self.model, paths, self.image)


def _stage(
    name: str, blocks: list[Block], seen: Observed, inner: dict[str, tuple[str, str]], wrapping: _Wrapping
) -> Stage:
    def shape(index: int, shape: Shape, *, raw: bool = True) -> SlotShape:
        channels_last = raw and blocks[index].channels_last
        _, channels, height, width = (shape[0], shape[3], shape[1], shape[2]) if channels_last else shape
        return SlotShape(index, channels, (height, width))

    paths = [block.path for block in blocks]
    places: dict[Placement, tuple[SlotShape, ...]] = {
        "before_add": tuple(shape(index, seen.slots[path].shapes[0], raw=False) for index, path in enumerate(paths))
    }
    if blocks[0].kind == "stage":
        places["after_add"] = places["before_add"]  # behind the stage is behind the add of its last block
    else:
        if all(path in seen.inputs and path in seen.outputs for path in paths) and wrapping.works(paths):
            places["before_block"] = tuple(shape(index, seen.inputs[path]) for index, path in enumerate(paths))
            places["after_add"] = tuple(shape(index, seen.outputs[path]) for index, path in enumerate(paths))
        convolutions = [(index, conv) for index, path in enumerate(paths) for conv in seen.convolutions.get(path, [])]
        reached = convolutions and all(conv in seen.at_convolutions for _, conv in convolutions)
        if reached and wrapping.works([conv for _, conv in convolutions]):
            places["before_convs"] = tuple(
                SlotShape(index, seen.at_convolutions[conv][1], seen.at_convolutions[conv][2:])  # type: ignore[arg-type]
                for index, conv in convolutions
            )
            if all(path in inner for path in paths):
                ends = [inner[path] for path in paths]
                after = [shape(i, seen.of_convolutions[a], raw=False) for i, (a, _) in enumerate(ends)]
                before = [shape(i, seen.at_convolutions[b], raw=False) for i, (_, b) in enumerate(ends)]
                places |= {"after_spatial_conv": tuple(after), "before_last_conv": tuple(before)}
    return Stage(name, blocks[0].kind, len(blocks), places)
