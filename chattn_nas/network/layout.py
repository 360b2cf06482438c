"""The stages of a backbone: its blocks, with the channels and the feature size of every place for attention.

Sizes come from one forward on the meta device with hooks, never from dividing by a stride: families round differently.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from chattn_nas.attention import Placement
from chattn_nas.errors import BackboneError
from chattn_nas.network.model import create_backbone
from chattn_nas.network.slots import Block, find_blocks
from chattn_nas.network.surgery import put
from chattn_nas.space import Backbone, SlotShape, Stage

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Where attention can sit in one backbone at one image size.

    Attributes:
        stages: What a search space must know.
        blocks: Per stage, its blocks in the order of the forward pass.
        convolutions: Per block's path, its convolutions' paths in the order of the forward pass.
        held: Blocks whose slot holds an attention that ``existing: replace`` empties.
        channels_last: Maps are (B, H, W, C) inside the blocks (MambaOut).
    """

    stages: tuple[Stage, ...]
    blocks: tuple[tuple[Block, ...], ...]
    convolutions: dict[str, tuple[str, ...]] = field(hash=False)
    held: tuple[Block, ...]
    channels_last: bool


def stages(backbone: Backbone, *, in_chans: int = 3, image_size: int | tuple[int, int] = 224) -> tuple[Stage, ...]:
    """The stages of a backbone that can take attention.

    A stage of kind ``stage`` has one place, behind it, called ``before_add`` since that is what types take by default.
    The others offer ``before_add`` (the slot), ``before_block``, ``after_add`` and ``before_convs`` where all of
    their blocks allow it. Where some blocks of a model have slots, stages without any are left out.

    Raises:
        BackboneError: No such model, or attention cannot be placed in it.
    """
    return layout(backbone, in_chans, image_size).stages


def layout(backbone: Backbone, in_chans: int, image_size: int | tuple[int, int]) -> Layout:
    """The layout of a backbone; kept for the 256 last asked for."""
    return _layout(backbone, in_chans, (image_size, image_size) if isinstance(image_size, int) else tuple(image_size))


@lru_cache(256)
def _layout(backbone: Backbone, in_chans: int, size: tuple[int, int]) -> Layout:
    with torch.random.fork_rng(devices=[]):
        model = create_backbone(backbone, num_classes=10, in_chans=in_chans, device="meta").eval()
    name = backbone.model
    image = torch.empty(2, in_chans, *size, device="meta")
    found = find_blocks(model, name)
    held = tuple(block for block in found if block.held)
    if backbone.existing == "keep":
        found = [block for block in found if not block.held]
        if not found:
            raise BackboneError(
                f"every slot of {name} holds an attention already: take existing: replace", where=("existing",)
            )
    wrapped = True
    try:
        seen = _observe(model, found, image, name, wrap=True)
    except BackboneError:  # a module reads `self.conv.weight` itself, or the image does not suit: the second try tells
        wrapped = False
        seen = _observe(model, found, image, name)
    channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    by_stage: dict[str, list[Block]] = defaultdict(list)
    for path in seen.slots:
        block = next(block for block in found if block.path == path)
        by_stage[block.stage].append(block)
    if not by_stage:
        raise BackboneError(f"{name} has no place for channel attention: {seen.reason}", where=("model",))
    order = [stage for stage in dict.fromkeys(block.stage for block in found) if stage in by_stage]
    tried = _Trial(model, image, wrapped)
    described = tuple(_stage(stage, by_stage[stage], seen, channels_last, tried) for stage in order)
    convolutions = {path: tuple(names) for path, names in seen.convolutions.items()}
    return Layout(described, tuple(tuple(by_stage[stage]) for stage in order), convolutions, held, channels_last)


@dataclass
class _Seen:
    """What one forward showed; only places that were reached exactly once with a map."""

    slots: dict[str, Shape]
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    convolutions: dict[str, list[str]]
    at_convolutions: dict[str, Shape]
    reason: str = ""


def _observe(model: nn.Module, blocks: list[Block], image: Tensor, name: str, *, wrap: bool = False) -> _Seen:
    """One forward; with ``wrap`` every block and convolution is wrapped as placing attention there would."""
    calls: Counter[tuple[str, str]] = Counter()
    shapes: dict[tuple[str, str], Shape] = {}
    hooks = []

    def note(what: str, path: str, value: Any) -> None:
        if isinstance(value, tuple) and len(value) == 1:
            value = value[0]
        calls[what, path] += 1
        shapes[what, path] = tuple(value.shape) if isinstance(value, Tensor) else ()

    def on_input(what: str, path: str) -> Callable[..., None]:
        return lambda _m, args, kwargs: note(what, path, kwargs if kwargs else args)

    def on_output(what: str, path: str) -> Callable[..., None]:
        return lambda _m, _args, output: note(what, path, output)

    owner: dict[str, str] = {}
    unwrapped: dict[str, nn.Module] = {}
    for block in blocks:
        module = model.get_submodule(block.path)
        if block.kind == "stage":
            hooks.append(module.register_forward_hook(on_output("slot", block.path)))
            continue
        old = getattr(module, block.slot)
        probe = nn.Identity()
        setattr(module, block.slot, probe)
        hooks.append(probe.register_forward_hook(on_output("slot", block.path)))
        hooks.append(module.register_forward_pre_hook(on_input("input", block.path), with_kwargs=True))
        hooks.append(module.register_forward_hook(on_output("output", block.path)))
        for path, child in module.named_modules(prefix=block.path):
            if isinstance(child, nn.Conv2d):
                owner[path] = block.path
                hooks.append(child.register_forward_pre_hook(on_input("conv", path), with_kwargs=True))
                unwrapped[path] = child
        unwrapped[block.path] = module
        if block.kind == "branch" and old is not None and not isinstance(old, nn.Identity):
            setattr(module, block.slot, nn.Sequential(probe, old))
    # Inner modules come before the blocks that hold them, so the paths stay right while they are wrapped.
    for path, module in unwrapped.items() if wrap else ():
        put(model, path, nn.Sequential(module))
    try:
        with torch.no_grad():
            model(image)
    except Exception as error:  # whatever a model does with an image that does not suit it
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        size = "x".join(map(str, image.shape[2:]))
        raise BackboneError(f"{name} cannot take {size} images: {reason}", where=("model",)) from error
    finally:
        for hook in hooks:
            hook.remove()
        for path, module in reversed(unwrapped.items()) if wrap else ():
            put(model, path, module)
    once: dict[tuple[str, str], Shape] = {
        key: shape for key, shape in shapes.items() if calls[key] == 1 and len(shape) == 4
    }
    owned: dict[str, list[str]] = defaultdict(list)
    for what, path in shapes:
        if what == "conv":
            owned[owner[path]].append(path)
    not_maps = [len(shape) for (what, _), shape in shapes.items() if what == "slot" and len(shape) != 4]
    reason = "its stages hand on tokens, not maps" if 3 in not_maps else "its stages hand on no single map"
    pick = {what: {path: shape for (w, path), shape in once.items() if w == what} for what in ("slot", "input", "conv")}
    outputs = {path: shape for (what, path), shape in once.items() if what == "output"}
    return _Seen(pick["slot"], pick["input"], outputs, dict(owned), pick["conv"], reason)


class _Trial:
    """Tries on the meta model whether modules can be wrapped: some blocks read ``self.conv.weight`` themselves."""

    def __init__(self, model: nn.Module, image: Tensor, known: bool) -> None:
        self.model, self.image, self.known = model, image, known

    def works(self, paths: list[str]) -> bool:
        """Whether the model runs with an ``nn.Sequential`` around each module; at once where that is known."""
        if self.known:
            return True
        old = {path: self.model.get_submodule(path) for path in paths}
        for path, module in old.items():
            put(self.model, path, nn.Sequential(module))
        try:
            with torch.no_grad():
                self.model(self.image)
        except Exception:
            return False
        finally:
            for path, module in old.items():
                put(self.model, path, module)
        return True


def _stage(name: str, blocks: list[Block], seen: _Seen, channels_last: bool, trial: _Trial) -> Stage:
    def shape(index: int, found: Shape) -> SlotShape:
        _, channels, height, width = (found[0], found[3], found[1], found[2]) if channels_last else found
        return SlotShape(index, channels, (height, width))

    paths = [block.path for block in blocks]
    places: dict[Placement, tuple[SlotShape, ...]] = {
        "before_add": tuple(shape(index, seen.slots[path]) for index, path in enumerate(paths))
    }
    if blocks[0].kind == "stage":
        places["after_add"] = places["before_add"]  # behind the stage is behind the add of its last block
    else:
        if all(path in seen.inputs and path in seen.outputs for path in paths) and trial.works(paths):
            places["before_block"] = tuple(shape(index, seen.inputs[path]) for index, path in enumerate(paths))
            places["after_add"] = tuple(shape(index, seen.outputs[path]) for index, path in enumerate(paths))
        convolutions = [(index, conv) for index, path in enumerate(paths) for conv in seen.convolutions.get(path, [])]
        reached = convolutions and all(conv in seen.at_convolutions for _, conv in convolutions)
        if reached and trial.works([conv for _, conv in convolutions]):
            places["before_convs"] = tuple(
                SlotShape(index, seen.at_convolutions[conv][1], seen.at_convolutions[conv][2:])  # type: ignore[arg-type]
                for index, conv in convolutions
            )
    return Stage(name, blocks[0].kind, len(blocks), places)
