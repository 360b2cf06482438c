"""The layout of a backbone: stages and blocks, with channels and feature size of every place for attention.

Names suggest where attention might sit (:mod:`chattn_nas.network.slots`); one forward pass on the meta device shows
what happens there (:mod:`chattn_nas.network.observe`); only proved places become slots
(:mod:`chattn_nas.network.proof`); and :mod:`chattn_nas.network.places` adds the places around blocks and at
convolutions. Sizes come from that pass too, never from dividing by a stride, since families round differently.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor, nn

from chattn_nas.arguments import checked
from chattn_nas.attention import Placement
from chattn_nas.errors import BackboneError, first_line
from chattn_nas.image_size import ImageSize, pair
from chattn_nas.network import own
from chattn_nas.network._timm import feature_info, is_stem
from chattn_nas.network.model import create_backbone
from chattn_nas.network.places import Places
from chattn_nas.network.proof import prove
from chattn_nas.network.slots import Block, Feature, count_blocks, features_of, refuse_transformer
from chattn_nas.parts import is_path
from chattn_nas.plural import plural
from chattn_nas.space import Backbone, Stage


@dataclass(frozen=True)
class Layout:
    """Where attention can sit in one backbone at one image size.

    Attributes:
        stages: The stages, as a search space needs them.
        blocks: The blocks of every stage, in the order of the forward pass.
        convolutions: Paths of a block's convolutions in the order of the forward pass, by the block's path.
        inner: A block's last spatial convolution and the convolution after it (itself if there is none), by the
            block's path: ``after_spatial_conv`` is behind the first, ``before_last_conv`` in front of the second.
        held: Blocks whose slot holds an attention that ``existing: replace`` removes.
        kept: Blocks whose slot holds an attention that ``existing: keep`` leaves there.
        all_blocks: Number of blocks in the model, with or without a slot.
        slotted: Number of blocks with a slot of their own.
        parameters: Parameters of the bare backbone with 10 classes.
        left_out: Places that are slots by name only: path and reason.
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
        """The convolutions of a block at which a placement puts attention; none for placements elsewhere."""
        if placement == "before_convs":
            return self.convolutions.get(block, ())
        if placement == "after_spatial_conv":
            return self.inner[block][:1]
        return self.inner[block][1:] if placement == "before_last_conv" else ()

    @property
    def share(self) -> str:
        """How many blocks have a slot of their own, and which stages take attention as a whole, in words."""
        whole = [str(number) for number, stage in enumerate(self.stages, 1) if stage.kind == "stage"]
        behind = f"; stage{'s' * (len(whole) > 1)} {', '.join(whole)}: behind the whole stage" if whole else ""
        counted = f"{self.slotted} of {self.all_blocks}" if self.slotted else "none of its"
        return f"{counted} blocks have a slot of their own{behind}"


@checked
def stages(backbone: Backbone, *, in_chans: int = 3, image_size: ImageSize = 224) -> tuple[Stage, ...]:
    """The stages of a backbone that can take attention; none if every slot holds an attention that is kept.

    A stage whose blocks have no slot is of kind ``stage`` and has one place, behind it, called ``before_add`` since
    that is the default of most types. The others offer ``before_add`` (the slot), ``before_block``, ``after_add``,
    ``before_convs``, ``after_spatial_conv`` and ``before_last_conv`` where all of their blocks allow it.

    Args:
        backbone: The model, its options, and what happens to its own attention.
        in_chans: Channels of the images.
        image_size: Pixels, one number or (height, width).

    Raises:
        BackboneError: There is no such model, or attention cannot be placed in it.
    """
    return layout(backbone, in_chans, image_size).stages


def every_slot_is_kept(backbone: Backbone) -> BackboneError:
    """The error for a backbone whose slots all hold an attention that is kept."""
    return BackboneError(
        f"every slot of {backbone.model} holds an attention already: take existing: replace, or only none",
        where=("existing",),
    )


def layout(backbone: Backbone, in_chans: int, image_size: ImageSize) -> Layout:
    """Return the layout of a backbone; the last 256 are cached."""
    return _layout(backbone, in_chans, pair(image_size))


@lru_cache(256)
def _layout(backbone: Backbone, in_chans: int, size: tuple[int, int]) -> Layout:
    with torch.random.fork_rng(devices=[]):
        model = create_backbone(backbone, num_classes=10, in_chans=in_chans, device="meta").eval()
    model.requires_grad_()  # the graph shows where attention can sit, in layers that are frozen too
    image = torch.empty(2, in_chans, *size, device="meta")
    features = _features(model, backbone.model, image)
    proved = prove(model, features, image, backbone.model, keep=backbone.existing == "keep")
    if not proved.blocks and not proved.kept:
        raise BackboneError(f"{backbone.model} has no place for channel attention: {proved.reason}", where=("model",))
    _refuse_kept_tensors(model, backbone.model)
    places = Places(model, proved.blocks, image)
    by_stage = {feature.path: [one for one in proved.blocks if one.stage == feature.path] for feature in features}
    by_stage = {stage: blocks for stage, blocks in by_stage.items() if blocks}
    for index, name in enumerate(backbone.stages):
        if name not in by_stage and not any(block.stage == name for block in proved.kept):
            reason = "it is the stem" if is_stem(name) else "blocks around it or in it are of another stage"
            raise BackboneError(
                f"the stage {name!r} has no place for attention: {proved.left_out.get(name, reason)}",
                where=("stages", index),
            )
    slotted = [block.path for block in (*proved.blocks, *proved.kept) if block.kind != "stage"]
    return Layout(
        stages=tuple(places.stage(stage, blocks) for stage, blocks in by_stage.items()),
        blocks=tuple(map(tuple, by_stage.values())),
        convolutions=places.convolutions,
        inner=places.inner,
        held=tuple(block for block in proved.blocks if block.held),
        kept=tuple(proved.kept),
        all_blocks=count_blocks(model, features, slotted),
        slotted=len(slotted),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        left_out=tuple(proved.left_out.items()),
    )


def _refuse_kept_tensors(model: nn.Module, name: str) -> None:
    """Check that no module keeps a tensor of its forward pass: torch cannot copy such a network.

    Raises:
        BackboneError: One does.
    """
    for path, module in model.named_modules():
        for key, value in vars(module).items():
            held = value if isinstance(value, list | tuple) else value.values() if isinstance(value, dict) else [value]
            if any(isinstance(one, Tensor) and one.grad_fn is not None for one in held):
                raise BackboneError(
                    f"{name} keeps a tensor of its forward pass in {f'{path}.{key}'.lstrip('.')}, and torch cannot "
                    "copy such a network: keep a detached one; weight norms are in torch.nn.utils.parametrizations",
                    where=("model",),
                )


def _features(model: nn.Module, name: str, image: Tensor) -> tuple[Feature, ...]:
    """The stages that a model declares; the user's own backbone may leave them to be found.

    Raises:
        BackboneError: It is no convolutional classifier of such images, or declares no stages.
    """
    refuse_transformer(model, name)
    _check_classifier(model, image, name)
    if is_path(name) and not feature_info(model):
        own.tell_stages(model, own.find_stages(model, image))
    return features_of(model, name)


def _check_classifier(model: nn.Module, image: Tensor, name: str) -> None:
    """Check that the bare model takes the image and returns one number per class.

    Raises:
        BackboneError: It does not.
    """
    size = "x".join(map(str, image.shape[2:]))
    channels = "" if image.shape[1] == 3 else f" of {plural(image.shape[1], 'channel')}"
    modules = {path for path, _ in model.named_modules()}
    try:
        with torch.no_grad():
            result = model(image)
    except Exception as error:  # whatever a model does with an image that does not suit it
        reason = first_line(error)
        if is_path(name) and "meta" in reason:  # torch's word for tensors without values
            raise BackboneError(
                f"{name} reads values of its maps in forward, such as by if, assert, .item() or numpy; places for "
                "attention are found by shapes alone, so use functions of torch on whole tensors (torch.where for if)",
                where=("model",),
            ) from error
        raise BackboneError(f"{name} cannot take {size} images{channels}: {reason}", where=("model",)) from error
    if made := [path for path, _ in model.named_modules() if path not in modules]:
        raise BackboneError(
            f"{name} makes its module {made[0]} in forward, whose weights would be drawn under no seed and not be "
            "trained: make it in __init__",
            where=("model",),
        )
    if not isinstance(result, Tensor) or tuple(result.shape) != (image.shape[0], 10):
        given = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise BackboneError(
            f"{name} is no classifier: for {image.shape[0]} images and 10 classes it gives {given}", where=("model",)
        )
