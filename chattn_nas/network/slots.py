"""Finds the blocks of a timm model and the place for attention in each.

Three kinds of slot:

- ``native``: the block has an attribute for channel attention (``se``, ``attn``, ``attn_last``, ...), used or empty.
- ``branch``: it has none, but its ``drop_path`` ends the residual branch just before the add.
- ``stage``: no block of the model has either; attention is put behind each stage.

A block is the outermost module with a slot. It belongs to the first entry of ``feature_info`` whose module contains it
or is defined after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import nn

from chattn_nas.errors import BackboneError

Kind = Literal["native", "branch", "stage"]

#: Attributes that hold channel attention in timm's blocks; where a block has several empty ones, the first is taken.
NATIVE = ("attn_last", "attn3", "attn2", "attn", "se", "se_early", "se_module")
#: Ends of residual branches; of a MetaFormer block's two the second, in front of the block's last add.
BRANCH = ("drop_path", "drop_path2")
#: ``attn`` is also what transformers call their self-attention: only these classes are channel attention there.
CHANNEL_ATTENTION = {
    "SEModule", "SqueezeExcite", "EffectiveSEModule", "EffectiveSqueezeExcite", "EcaModule", "CecaModule", "CbamModule",
    "LightCbamModule", "GatherExcite", "GlobalContext", "CoordAttn", "SimpleCoordAttn", "EfficientLocalAttn",
    "StripAttn",
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """One block of a model.

    Attributes:
        stage: Name of the stage's module.
        path: Name of the block's module.
        kind: How attention is put there.
        slot: Attribute of the block; empty for ``stage``.
        held: The slot holds an attention already.
    """

    stage: str
    path: str
    kind: Kind
    slot: str = ""
    held: bool = False


def find_blocks(model: nn.Module, name: str) -> list[Block]:
    """Every block with a place for attention, in the order of definition; or one ``stage`` block per stage.

    Args:
        model: Any timm model, on any device.
        name: What to call it in errors.

    Raises:
        BackboneError: The model does not tell its stages, or has no convolutions but those that cut patches.
    """
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    if not any(max(conv.kernel_size) > max(conv.stride) for conv in convolutions):
        raise BackboneError(f"{name} is no convolutional network (a transformer, it seems)", where=("model",))
    features = stage_modules(model, name)
    blocks = [block for block in _blocks(model, features) if block is not None]
    return blocks or [Block(feature, feature, "stage") for feature in features if not _is_stem(feature)]


def stage_modules(model: nn.Module, name: str) -> list[str]:
    """Module names in ``feature_info``, in the order of the network.

    Raises:
        BackboneError: There are none, or they are no modules of the model.
    """
    info = getattr(model, "feature_info", None)
    try:
        found = list(dict.fromkeys(entry["module"] for entry in info))  # type: ignore[union-attr]
    except (TypeError, KeyError):
        found = []
    modules = {path for path, _ in model.named_modules()}
    found = [path for path in found if path in modules]
    if not found:
        raise BackboneError(f"{name} does not tell its stages (timm's feature_info)", where=("model",))
    return found


def _blocks(model: nn.Module, features: list[str]) -> Iterator[Block | None]:
    order = {path: index for index, (path, _) in enumerate(model.named_modules())}
    inside: tuple[str, ...] = ()
    for path, module in model.named_modules():
        if not path or (inside and path.startswith(inside)):
            continue
        found = _slot(module)
        if found is None:
            continue
        inside = (f"{path}.",)
        kind, slot, held = found
        stage = next(
            (f for f in features if path == f or path.startswith(f + ".") or order[f] >= order[path]), features[-1]
        )
        yield Block(stage, path, kind, slot, held)


def _slot(module: nn.Module) -> tuple[Kind, str, bool] | None:
    children = dict(module.named_children())
    empty = []
    for name in NATIVE:
        if name not in children and vars(module).get(name, module) is not None and name not in module._modules:
            continue
        if name == "attn" and hasattr(module, "norm1"):
            continue  # self-attention behind its norm, even where the block leaves both out (Visformer)
        child = children.get(name)
        if child is None or isinstance(child, nn.Identity):
            empty.append(name)
        elif name.startswith("se") or type(child).__name__ in CHANNEL_ATTENTION:
            return "native", name, True
    if empty:
        return "native", empty[0], False
    if any(isinstance(m, nn.Conv2d) for m in module.modules()):
        for name in BRANCH:
            if name in children or name in module._modules or (name in vars(module) and vars(module)[name] is None):
                return "branch", name, False
    return None


def _is_stem(feature: str) -> bool:
    last = feature.split(".")[-1]
    return "stem" in feature or last in {"conv1", "act1", "bn1", "norm0", "act0", "relu0", "conv0", "pool0"}
