"""The user's own backbone, ``module:function``: any function that returns an ``nn.Module`` with a classifier.

Its stages come from ``feature_info``, as in timm's models, or from ``backbone.stages``; otherwise a stage ends at the
last module before the map shrinks.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from chattn_nas.errors import BackboneError, first_line
from chattn_nas.network._timm import is_stem
from chattn_nas.network.observe import behind, takes_one_map, whole_graph
from chattn_nas.network.slots import has_slots, within
from chattn_nas.parts import load_object

#: Arguments that are passed if the function takes them; further ones come from ``backbone.options``.
OFFERED = ("num_classes", "in_chans", "device")


def create(path: str, **options: Any) -> nn.Module:
    """Call the function at ``module:function``.

    ``num_classes``, ``in_chans`` and ``device`` are passed if the function takes them; a module on another device is
    moved.

    Raises:
        BackboneError: There is no such function, it cannot be called so, or it returns something else than a module.
    """
    function = find(path)
    taken = inspect.signature(function).parameters
    anything = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values())
    given = {
        name: value for name, value in options.items()
        if name not in OFFERED or name in taken or (anything and name != "device")
    }  # fmt: skip
    device = torch.device(options.get("device") or "cpu")
    try:
        model = _called(function, given, device)
    except Exception as error:  # whatever a user's function raises
        raise BackboneError(f"{path} cannot be built: {first_line(error)}", where=("options",)) from error
    if not isinstance(model, nn.Module):
        raise BackboneError(f"{path} returns {type(model).__name__}, not an nn.Module", where=("model",))
    for name, module in model.named_modules():
        if reason := _unfit(module):
            raise BackboneError(
                f"{path} cannot be used: {f'its module {name}' if name else 'it'} {reason}", where=("model",)
            )
    return model.to(device)


def _called(function: Any, given: dict[str, Any], device: torch.device) -> Any:
    """What a function returns; built on the CPU if it reads values of tensors, of which the meta device has none."""
    try:
        with device:
            return function(**given)
    except Exception as error:  # whatever a user's function raises
        # What **kwargs are handed on to may not take it: torchvision's networks have three channels.
        taken = inspect.signature(function).parameters
        if "in_chans" in given and "in_chans" not in taken and "keyword argument 'in_chans'" in str(error):
            return _called(function, {name: value for name, value in given.items() if name != "in_chans"}, device)
        if device.type != "meta":
            raise
    device = torch.device("cpu")
    return _called(function, {**given, **({"device": device} if "device" in given else {})}, device)


def _unfit(module: nn.Module) -> str | None:
    """Why attention cannot be placed in a network with this module, or not be compared in it; ``None`` if it can."""
    if isinstance(module, torch.jit.ScriptModule):
        return "is TorchScript, in which nothing can be placed: return the module that it was made of"
    if "forward" in vars(module):
        return "has a forward of its own instance (a patch, or torch.compile), which a copy would not have: use a class"
    if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():  # type: ignore[misc]
        return "is lazy: its weights would be drawn with the first images, under no seed; give it its sizes"
    odd = [one.dtype for one in module.parameters(recurse=False) if one.dtype != torch.float32]
    return f"has parameters of {odd[0]}: return it in torch.float32" if odd else None


def find(path: str) -> Any:
    """Import the function at ``module:function``.

    Raises:
        BackboneError: There is no such function.
    """
    return load_object(path, "a backbone", ("model",), refusal=BackboneError)


def tell_stages(model: nn.Module, stages: Sequence[str]) -> None:
    """Set a model's ``feature_info`` to the stages that a spec names.

    Raises:
        BackboneError: The model lacks such a module.
    """
    modules = [path for path, _ in model.named_modules() if path]
    for index, name in enumerate(stages):
        if name in stages[:index]:
            raise BackboneError(f"the stage {name!r} is named twice", where=("stages", index))
        if name not in modules:
            raise BackboneError(
                f"the backbone has no module {name!r}", where=("stages", index), value=name, choices=modules
            )
    model.feature_info = [{"module": name} for name in stages]  # type: ignore[assignment]


def find_stages(model: nn.Module, image: Tensor) -> list[str]:
    """The last module before each change of the map's size, without the stem.

    A module that takes more than one map, or beside which something else leads to the logits, such as one of several
    branches, ends no stage unless blocks in it have slots.

    Args:
        model: On the device of the image, in eval mode.
        image: (B, C, H, W).
    """
    done: list[tuple[str, Any, tuple[int, ...]]] = []
    order = dict(model.named_modules())
    convolutions = {path: sum(isinstance(m, nn.Conv2d) for m in module.modules()) for path, module in order.items()}
    hooks = []

    plain: set[str] = set()

    def note(path: str) -> Any:
        def hook(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                done.append((path, output.grad_fn, _size(output.shape, image.shape)))
                if takes_one_map(args, kwargs):
                    plain.add(path)

        return hook

    for path, module in order.items():
        if path:
            hooks.append(module.register_forward_hook(note(path), with_kwargs=True))
    try:
        with whole_graph():
            end = model(image).grad_fn
    finally:
        for hook in hooks:
            hook.remove()
    nodes = {path: node for path, node, _ in done}
    sizes = list(dict.fromkeys(size for _, _, size in done if max(size) > 1))
    stages: list[str] = []
    for size in sizes:
        here = [path for path, _, of in done if of == size]
        counted = sum(isinstance(order[path], nn.Conv2d) for path in here)
        if size == sizes[0] and counted < 2:
            continue  # the stem
        # A module that holds an earlier stage is the whole trunk; one without any convolution is glue behind a stage.
        fitting = [p for p in here if convolutions[p] and not any(within(s, p) for s in stages)]
        outer = [
            p for p in fitting
            if not _holds_shrinking(p, size, done)
            and (has_slots(order[p]) or (p in plain and _all_passes(nodes[p], end)))
            and behind(end, nodes[p])  # else it is the classifier, whose channels are classes
        ]  # fmt: skip
        if outer:
            stages.append(outer[-1])
    return [stage for stage in stages if not is_stem(stage)]


def _size(shape: Sequence[int], image: Sequence[int]) -> tuple[int, int]:
    """Height and width of a map (B, C, H, W) or (B, H, W, C), told by the proportions of the image."""
    first, last = tuple(shape[2:]), tuple(shape[1:3])
    height, width = image[2:]
    return min((first, last), key=lambda size: abs(size[0] * width - size[1] * height))  # type: ignore[return-value]


def _all_passes(node: Any, end: Any) -> bool:
    """Whether no parameter before a node of the graph leads to the end beside it."""
    return not behind(node) & behind(end, node)


def _holds_shrinking(path: str, size: tuple[int, ...], done: list[tuple[str, Any, tuple[int, ...]]]) -> bool:
    """Whether most of the maps inside a module are larger than its output."""
    inside = [of for name, _, of in done if name.startswith(f"{path}.")]
    larger = [of for of in inside if of[0] > size[0]]
    return len(larger) > len(inside) // 2
