"""Finds the blocks of a backbone and the place for attention in each.

Three kinds of slot:

- ``native``: the block has an attribute for channel attention (``se``, ``attn``, ``attn_last``, ...), used or empty.
- ``branch``: the block has none, but its ``drop_path`` ends the residual branch just before the add.
- ``stage``: no block of the stage has either; attention is put behind the stage.

A block is the outermost module with a slot. It belongs to the stage whose module contains it, or else to the first one
that is defined after it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from chattn_nas.errors import BackboneError
from chattn_nas.network._timm import Kind, feature_info, is_stem, slots_of


@dataclass(frozen=True)
class Block:
    """One block of a model.

    Attributes:
        stage: Name of the stage's module.
        path: Name of the block's module.
        kind: How attention is put there.
        slot: Attribute of the block; empty for ``stage``.
        held: Whether the slot holds an attention already.
        channels_last: Whether the maps at the slot are (B, H, W, C).
    """

    stage: str
    path: str
    kind: Kind
    slot: str = ""
    held: bool = False
    channels_last: bool = False


@dataclass(frozen=True)
class Feature:
    """One stage that a model declares.

    Attributes:
        path: Name of the module whose output is the stage's.
        channels: Channels of that output; ``None`` if not declared.
    """

    path: str
    channels: int | None = None

    @property
    def is_stem(self) -> bool:
        """Whether this is the stem, before the first stage."""
        return is_stem(self.path)


def refuse_transformer(model: nn.Module, name: str) -> None:
    """Check that a model has convolutions besides those that cut patches.

    Raises:
        BackboneError: It has none.
    """
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    if not convolutions:
        raise BackboneError(f"{name} has no module nn.Conv2d, so there are no blocks of it to find", where=("model",))
    if not any(max(conv.kernel_size) > max(conv.stride) for conv in convolutions):
        raise BackboneError(
            f"{name} is no convolutional network (a transformer, it seems): chattn-nas backbones PATTERN lists those "
            "that take attention",
            where=("model",),
        )


def features_of(model: nn.Module, name: str) -> tuple[Feature, ...]:
    """The stages in the order of the network.

    Args:
        model: Any backbone, on any device.
        name: Its name in errors.

    Raises:
        BackboneError: The model declares no stages.
    """
    modules = {path for path, _ in model.named_modules()}
    channels_of = {entry["module"]: entry.get("num_chs") for entry in feature_info(model) if entry["module"] in modules}
    if not channels_of:
        raise BackboneError(
            f"{name} does not tell its stages (timm's feature_info): name them in backbone.stages", where=("model",)
        )
    return tuple(Feature(path, channels) for path, channels in channels_of.items())


def has_slots(module: nn.Module) -> bool:
    """Whether a name in a module, or inside it, suggests a slot."""
    return any(True for inner in module.modules() for _ in slots_of(inner))


def find_blocks(
    model: nn.Module, features: Sequence[Feature], without: Collection[tuple[str, str]] = ()
) -> list[Block]:
    """Every block that may have a place for attention inside, in the order of definition.

    Args:
        model: Any backbone, on any device.
        features: Its stages.
        without: Pairs (path of a block, slot) that do not work: the next slot there, or blocks inside, may.
    """
    return list(_blocks(model, features, without))


def _blocks(model: nn.Module, features: Sequence[Feature], without: Collection[tuple[str, str]]) -> Iterator[Block]:
    order = {path: index for index, (path, _) in enumerate(model.named_modules())}
    inside: str | None = None
    for path, module in model.named_modules():
        if not path or (inside is not None and path.startswith(inside)):
            continue
        candidate = next((slot for slot in slots_of(module) if (path, slot[1]) not in without), None)
        if candidate is None:
            continue
        inside = f"{path}."
        kind, slot, held = candidate
        yield Block(stage_of(path, [feature.path for feature in features], order), path, kind, slot, held)


def within(path: str, module: str) -> bool:
    """Whether the module at ``path`` is the other one, or inside it."""
    return f"{path}.".startswith(f"{module}.")


def stage_around(path: str, stages: Sequence[str]) -> str | None:
    """The innermost of the stages that contain the module at ``path``."""
    return max((stage for stage in stages if within(path, stage)), key=len, default=None)


def stage_of(path: str, features: Sequence[str], order: dict[str, int]) -> str:
    """The innermost stage whose module contains ``path``, or the first defined after it; else the last one."""
    after = (feature for feature in features if order[feature] >= order[path])
    return stage_around(path, features) or next(after, features[-1])


def count_blocks(model: nn.Module, features: Sequence[Feature], slotted: Collection[str]) -> int:
    """Count the blocks of a model behind its stem, with or without a slot.

    A block without a slot is an element of a container inside a stage that holds several layers.

    Args:
        model: Any backbone, on any device.
        features: Its stages.
        slotted: Paths of the blocks with a slot.
    """
    return _count(model, "", [feature.path for feature in features], set(slotted))


def _count(module: nn.Module, path: str, features: list[str], slotted: set[str]) -> int:
    if path in slotted:
        return 1
    container = isinstance(module, nn.Sequential | nn.ModuleList | nn.ModuleDict)
    above = path == "" or any(feature.startswith(f"{path}.") for feature in features)
    holds = any(block.startswith(f"{path}.") for block in slotted)
    children = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
    if path in features and not container and not holds:
        rows = [(name, child) for name, child in children if isinstance(child, nn.Sequential | nn.ModuleList)]
        return sum(_count(child, name, features, slotted) for name, child in rows) or _is_block(module)
    if above:  # what comes behind the last stage is the head
        last = max(index for index, (name, _) in enumerate(children) if _leads_to(name, [*features, *slotted]))
        children = children[: last + 1]
    if container or above or holds:
        inner = [
            (name, child)
            for name, child in children
            if not (above and is_stem(name)) or any(within(block, name) for block in slotted)
        ]
        return sum(_count(child, name, features, slotted) for name, child in inner)
    return _is_block(module)


def _leads_to(path: str, others: Collection[str]) -> bool:
    return any(within(other, path) for other in others)


def _is_block(module: nn.Module) -> int:
    return int(sum(isinstance(child, nn.Conv2d | nn.Linear) for child in module.modules()) > 1)
