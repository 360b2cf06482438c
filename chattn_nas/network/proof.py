"""Proves which places are slots: an attention there must change what the network computes.

A slot is reached once per image, with a map, and its gate changes the output of its block and of the network. At the
end of a residual branch it also has the shape of the block's output, and more of the block's layers come before it than
run beside it (ResNeSt's ``drop_path`` runs on the block's *input*). Behind a stage the map has the channels that the
model declares. A place that fails is no slot; a stage without slots takes attention as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from chattn_nas.errors import first_line
from chattn_nas.network._timm import says_channels_last
from chattn_nas.network.observe import Observed, Shape, behind, gates_beside, observe, takes_one_map
from chattn_nas.network.slots import Block, Feature, find_blocks, within
from chattn_nas.plural import plural

TOKENS, NO_MAP = "tokens come there, not maps", "no single map comes there"
INSIDE = "the network calls modules in it, not itself: name the last of those"
SEVERAL = "it takes more than one map: name the last module in it that takes one"
AGAIN = "it is called several times for one image"
#: Rounds of trying the next place where one fails.
ROUNDS = 6


@dataclass
class Proved:
    """The result for all places that names suggest.

    Attributes:
        blocks: Blocks with a working slot, in the order of the network; of kind ``stage`` if a stage has no other.
        kept: Blocks whose slot holds an attention that stays.
        left_out: Reasons why places do not work, by path.
        reason: Why no place works, if none does.
    """

    blocks: list[Block] = field(default_factory=list)
    kept: list[Block] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    reason: str = "nothing in it is a place for it"


def prove(model: nn.Module, features: Sequence[Feature], image: Tensor, name: str, *, keep: bool) -> Proved:
    """Find the slots of a model that takes the image.

    Args:
        model: On the meta device, in eval mode.
        features: Its stages.
        image: (B, C, H, W) on the meta device.
        name: Name of the model, for reasons.
        keep: Slots that hold an attention keep it.
    """
    proved = Proved()
    failed: set[tuple[str, str]] = set()
    for _ in range(ROUNDS):
        blocks = find_blocks(model, features, failed)
        proved.kept = [block for block in blocks if block.held and keep]
        blocks = [block for block in blocks if not (block.held and keep)]
        serving, reasons = _serving(model, blocks, features, image)
        failed |= {(block.path, block.slot) for block in blocks if block.path in reasons}
        proved.left_out.update(reasons)
        proved.blocks = serving
        if not reasons:
            break
    slotted = [*proved.blocks, *proved.kept]
    whole = [
        Block(feature.path, feature.path, "stage")
        for feature in features
        if not feature.is_stem and not any(_related(feature.path, block) for block in slotted)
    ]
    serving, reasons = _serving(model, whole, features, image)
    order = [feature.path for feature in features]
    proved.blocks = sorted([*proved.blocks, *serving], key=lambda block: order.index(block.stage))
    if reasons and not proved.blocks:
        proved.reason = next(iter(reasons.values()))
    proved.left_out.update(reasons)
    return proved


def _related(stage: str, block: Block) -> bool:
    """Whether a block belongs to a stage, or one of the two is inside the other."""
    return block.stage == stage or within(stage, block.path) or within(block.path, stage)


def _serving(
    model: nn.Module, blocks: Sequence[Block], features: Sequence[Feature], image: Tensor
) -> tuple[list[Block], dict[str, str]]:
    """The blocks with working slots, and the reasons why the others' do not work."""
    if not blocks:
        return [], {}
    blocks, reasons, seen = _running(model, blocks, image)
    if not blocks:
        return [], reasons
    seen = seen or observe(model, blocks, image)
    channels = {feature.path: feature.channels for feature in features}
    unclear = [block for block in blocks if _axis(model, block, seen, channels[block.stage]) is None]
    larger = _observe_larger(model, unclear, image) if unclear else None
    serving = []
    for block in blocks:
        layers = {id(one) for one in model.get_submodule(block.path).parameters() if one.ndim > 1}
        last = _channels_last(model, block, seen, larger, channels[block.stage])
        reason = _reason(block, seen, last, channels[block.stage], layers)
        if reason:
            reasons[block.path] = reason
        else:
            serving.append(replace(block, channels_last=last))
    return serving, reasons


def _running(
    model: nn.Module, blocks: Sequence[Block], image: Tensor
) -> tuple[list[Block], dict[str, str], Observed | None]:
    """The blocks whose slots can be filled at all; tried all at once, then per class of block, then one by one."""
    lists = {block.path for block in blocks if isinstance(model.get_submodule(block.path), nn.ModuleList)}
    if lists:
        good, reasons, _ = _running(model, [block for block in blocks if block.path not in lists], image)
        return good, reasons | dict.fromkeys(lists, NO_MAP), None
    try:
        return list(blocks), {}, observe(model, blocks, image)
    except Exception as error:  # whatever a model does with a module that it does not expect
        if len(blocks) == 1:
            reason = _handed_on(model, blocks[0], image)
            reason = reason or f"the network does not run with a module there ({first_line(error)})"
            return [], {blocks[0].path: reason}, None
    kinds: dict[tuple[str, str], list[Block]] = {}
    for block in blocks:
        kinds.setdefault((type(model.get_submodule(block.path)).__name__, block.slot), []).append(block)
    groups = list(kinds.values()) if len(kinds) > 1 else [[block] for block in blocks]
    good, reasons = [], {}
    for group in groups:
        runs, why, _ = _running(model, group, image)
        good += runs
        reasons |= why
    order = [block.path for block in blocks]
    return sorted(good, key=lambda block: order.index(block.path)), reasons, None


def _handed_on(model: nn.Module, block: Block, image: Tensor) -> str | None:
    """Why a stage does not take one map and give one, or ``None`` if it does."""
    outputs: list[Any] = []
    plain: list[bool] = []

    def note(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        outputs.append(output)
        plain.append(takes_one_map(args, kwargs))

    hook = model.get_submodule(block.path).register_forward_hook(note, with_kwargs=True)
    try:
        with torch.no_grad():
            model(image)
    finally:
        hook.remove()
    if block.kind == "stage" and not outputs:
        return INSIDE
    if block.kind != "stage" or (len(outputs) == 1 and isinstance(outputs[0], Tensor) and outputs[0].ndim == 4):
        return SEVERAL if block.kind == "stage" and not plain[0] else None
    return TOKENS if any(isinstance(one, Tensor) and one.ndim == 3 for one in outputs) else NO_MAP


def _observe_larger(model: nn.Module, blocks: Sequence[Block], image: Tensor) -> Observed | None:
    """Observe an image of twice the height: the axis that grows is not that of the channels."""
    batch, channels, height, width = image.shape
    try:
        return observe(model, blocks, torch.empty(batch, channels, 2 * height, width, device="meta"))
    except Exception:  # a model of one size only
        return None


def _axis(model: nn.Module, block: Block, seen: Observed, channels: int | None) -> int | None:
    """The axis of the channels, if the shapes alone determine it."""
    shapes = seen.slots[block.path].shapes
    if block.kind == "native" and not says_channels_last(model):
        return 1  # timm's own attentions are (B, C, H, W)
    if len(shapes) != 1 or len(shapes[0]) != 4 or channels is None:
        return None
    matching = [axis for axis in (1, 3) if shapes[0][axis] == channels]
    return matching[0] if len(matching) == 1 else None


def _channels_last(
    model: nn.Module, block: Block, seen: Observed, larger: Observed | None, channels: int | None
) -> bool:
    axis = _axis(model, block, seen, channels)
    if axis is not None:
        return axis == 3
    shape = _map(seen.slots[block.path].shapes)
    grown = _map(larger.slots[block.path].shapes) if larger is not None and block.path in larger.slots else None
    if shape is not None and grown is not None:
        same = [axis for axis in (1, 3) if shape[axis] == grown[axis]]
        # The width stays; so (B, H, W, C) keeps its axis 3 and changes its axis 1, and (B, C, H, W) keeps both.
        return same == [3]
    return says_channels_last(model)


def _map(shapes: Sequence[Shape]) -> Shape | None:
    return shapes[0] if len(shapes) == 1 and len(shapes[0]) == 4 else None


def _reason(block: Block, seen: Observed, channels_last: bool, channels: int | None, layers: set[int]) -> str | None:
    """Why a place is no slot; ``None`` if it is one."""
    probe = seen.slots[block.path]
    if not probe.shapes:
        return "nothing calls it"
    if any(len(shape) == 3 for shape in probe.shapes):
        return TOKENS
    if len(probe.shapes) > 1:
        return AGAIN
    if len(probe.shapes[0]) != 4:
        return NO_MAP
    if block.kind == "native" and gates_beside(seen.result.grad_fn, probe):
        return "the block multiplies its map by what comes from there: a gate alone, not a map"
    if id(probe.scale) not in seen.reached:
        return "a gate there changes nothing that the network gives"
    shape = probe.shapes[0]
    if block.kind == "stage":
        if not behind(seen.result.grad_fn, probe.node):
            return "no layer comes behind it, so its channels are the classes"
        got = shape[3 if channels_last else 1]
        return (
            None
            if channels in (None, got)
            else f"its map has {plural(got, 'channel')} where the model tells {channels}"
        )
    if block.path not in seen.inner:
        return None if block.kind == "native" else "its block gives no single map"
    output, before, beside = seen.inner[block.path]
    if id(probe.scale) not in output:
        return "a gate there changes nothing that its block gives"
    if block.kind == "branch":
        if shape != seen.outputs[block.path]:
            return f"its map {shape[1:]} has not the shape of the block's output {seen.outputs[block.path][1:]}"
        if not before & layers or len(before & layers) < len(beside & layers):
            return "it is not behind the block's own layers, but on its shortcut"
    return None
