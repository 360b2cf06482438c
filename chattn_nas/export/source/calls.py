"""Records how the modules of a network call each other in one forward pass."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

#: None for one value; for a list, tuple or dict of values ``("list", ((0, None), (1, None)))``: its keys, and what
#: stands there.
Structure = tuple[str, tuple[tuple[Any, Any], ...]] | None


@dataclass(frozen=True)
class Call:
    """How a module is called.

    Attributes:
        names: Names of its arguments.
        absent: Names of arguments that are None.
        structures: Structures of the arguments that are lists, tuples or dicts.
        types: Types of the arguments.
        gives: Type of what it returns.
        changes: Whether it changes a list or dict among its arguments.
        varies: Whether it is called in several ways.
    """

    names: tuple[str, ...]
    absent: frozenset[str] = frozenset()
    structures: Mapping[str, Structure] = field(default_factory=dict)
    types: Mapping[str, type] = field(default_factory=dict)
    gives: type = object
    changes: bool = False
    varies: bool = False


def record_calls(network: nn.Module, example: torch.Tensor) -> dict[nn.Module, Call]:
    """Record the call of every module that ``network(example)`` reaches.

    Args:
        network: The network; run once in evaluation mode, without gradients.
        example: Images (B, C, H, W).
    """
    calls: dict[nn.Module, Call] = {}
    running: dict[nn.Module, list[Any]] = defaultdict(list)

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record how the module is called."""
        running[module].append(_contents((args, kwargs)))
        call = _call(module, args, kwargs)
        known = calls.get(module)
        if call is None:
            return
        if known is not None:
            again = (known.names, known.absent, known.structures) == (call.names, call.absent, call.structures)
            call = replace(call, changes=known.changes, varies=call.varies or known.varies or not again)
        calls[module] = call

    def after(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """Record what it returns, and whether the call changed its arguments."""
        changed = running[module].pop() != _contents((args, kwargs))
        if module in calls:
            known = calls[module]
            calls[module] = replace(known, gives=type(output), changes=known.changes or changed)

    with _evaluating(network), torch.no_grad():
        handles = [module.register_forward_pre_hook(before, with_kwargs=True) for module in network.modules()]
        handles += [module.register_forward_hook(after, with_kwargs=True) for module in network.modules()]
        try:
            network(example)
        finally:
            for handle in handles:
                handle.remove()
    return calls


def call_of(module: nn.Module, calls: Mapping[nn.Module, Call]) -> Call:
    """The recorded call or, for a module that is reached only through methods, the arguments it needs."""
    if module in calls:
        return calls[module]
    parameters = inspect.signature(module.forward).parameters.values()
    return Call(tuple(p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD))


def _call(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
    """Describe this call of ``module``; None if its signature is unknown."""
    parameters = inspect.signature(module.forward).parameters
    try:
        given = inspect.signature(module.forward).bind(*args, **kwargs).arguments
    except TypeError:
        return None
    variadic = {name for name, p in parameters.items() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    names = tuple(name for name in given if name not in variadic)
    structures = {name: form for name in names if (form := _structure(given[name])) is not None}
    absent = frozenset(name for name in names if given[name] is None)
    types = {name: type(given[name]) for name in names}
    return Call(names, absent, structures, types, varies=any(given.get(name) for name in variadic))


def _structure(value: Any) -> Structure:
    """The structure of a list, tuple or dict that contains tensors; plain settings are values."""
    if not _holds_tensor(value) or isinstance(value, torch.Tensor):
        return None
    if isinstance(value, dict):
        return "dict", tuple((key, _structure(item)) for key, item in value.items())
    return "list" if type(value) is list else "tuple", tuple((i, _structure(item)) for i, item in enumerate(value))


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_tensor(item) for item in value.values())
    if type(value) in (list, tuple):
        return any(_holds_tensor(item) for item in value)
    return isinstance(value, torch.Tensor)


def _contents(value: Any) -> Any:
    """The content of every list and dict in ``value``, by identity."""
    if isinstance(value, dict):
        return [(key, id(item), _contents(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [(id(item), _contents(item)) for item in value]
    return None


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
