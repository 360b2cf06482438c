"""How the modules of a network call each other, seen in one forward pass."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from chattn_nas.export.source.graph import Call


def record_calls(
    network: nn.Module, example: torch.Tensor
) -> tuple[dict[nn.Module, Call], dict[nn.Module, torch.Size]]:
    """The call of every module that ``network(example)`` reaches, and the shape of its first argument.

    Args:
        network: Run once in evaluation mode, without gradients.
        example: Images (B, C, H, W).
    """
    calls: dict[nn.Module, Call] = {}
    shapes: dict[nn.Module, torch.Size] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            bound = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        except (TypeError, ValueError):
            return
        variadic = {
            p.name for p in inspect.signature(module.forward).parameters.values()
            if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        }  # fmt: skip
        names = tuple(name for name in bound if name not in variadic)
        absent = frozenset(name for name in names if bound[name] is None)
        lists = frozenset(name for name in names if isinstance(bound[name], list | dict))
        known = calls.get(module)
        varies = any(bound.get(name) for name in variadic)
        if known is not None:
            varies = varies or known.varies or (known.names, known.absent) != (names, absent)
        calls[module] = Call(names, absent, lists, varies)
        first = next(iter(bound.values()), None)
        if isinstance(first, torch.Tensor):
            shapes.setdefault(module, first.shape)

    training = {module: module.training for module in network.modules()}
    handles = [module.register_forward_pre_hook(note, with_kwargs=True) for module in network.modules()]
    try:
        network.eval()
        with torch.no_grad():
            network(example)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in training.items():
            module.training = mode
    return calls, shapes


def call_of(module: nn.Module, calls: dict[nn.Module, Call]) -> Call:
    """The recorded call, or, for a module that only its methods reach, the arguments it needs."""
    if module in calls:
        return calls[module]
    parameters = inspect.signature(module.forward).parameters.values()
    return Call(tuple(p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD))
