"""Traces one module's forward with ``torch.fx``, with all children as leaves."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from chattn_nas.errors import first_line
from chattn_nas.export.source.calls import Call, Structure
from chattn_nas.export.source.functions import of_autograd
from chattn_nas.export.source.leaf import is_nothing
from chattn_nas.export.source.refusal import Refusal

IN_PLACE = {"iadd": "+=", "imul": "*=", "isub": "-=", "itruediv": "/="}


class _Typed(fx.Proxy):
    """A symbolic value that knows the type which was seen in its place."""

    def __init__(self, node: fx.Node, tracer: fx.Tracer, kind: type) -> None:
        super().__init__(node, tracer)
        self._kind = kind


def _isinstance(value: Any, kinds: Any) -> bool:
    """Answer for a symbolic value as for what was seen in its place.

    It stands for ``isinstance`` in a module's own code alone: torch's code in C takes such an answer at its word.
    """
    return issubclass(value._kind, kinds) if type(value) is _Typed else isinstance(value, kinds)


class _Tracer(fx.Tracer):
    """A tracer in which all children are leaves, those that do nothing vanish, and buffers stay symbolic."""

    proxy_buffer_attributes = True

    def __init__(self, call: Call, calls: Mapping[nn.Module, Call]) -> None:
        super().__init__(autowrap_modules=(math,))
        self._call = call
        self._calls = calls
        self._given: list[tuple[str, list[Any] | dict[Any, Any], list[Any] | dict[Any, Any]]] = []
        self.references: dict[str, nn.Module] = {}

    def path_of_module(self, mod: nn.Module) -> str:
        """The path as in torch.fx; a module that the root refers to without owning it has the attribute's name."""
        for name, held in references(self.root).items():
            if held is mod:
                self.references[name] = mod
                return name
        return super().path_of_module(mod)

    def trace(self, root: Any, concrete_args: Any = None) -> fx.Graph:
        """Trace as torch.fx does."""
        self._installed = set(root.modules())
        return super().trace(root, concrete_args)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Treat every child as a leaf: a graph covers one module's own code."""
        return True

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Leave out modules that do nothing, and look into slices."""
        if is_nothing(m):
            return args[0]
        if isinstance(m, nn.Sequential) and m not in self._installed:  # a slice, made as the forward runs
            return forward(*args, **kwargs)
        given = super().call_module(m, forward, args, kwargs)
        return self._typed(given, self._calls[m].gives) if m in self._calls else given

    def _typed(self, proxy: fx.Proxy, kind: type) -> fx.Proxy:
        return proxy if kind is object else _Typed(proxy.node, self, kind)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """Make one placeholder per argument of the recorded call."""
        given: dict[str, Any] = {}
        for name in self._call.names:
            proxy = self._typed(self.create_proxy("placeholder", name, (), {}), self._call.types.get(name, object))
            structure = self._call.structures.get(name)
            given[name] = None if name in self._call.absent else self._unfolded(name, proxy, structure)

        def forward(*_: Any) -> Any:
            return self.root.forward(**given)  # type: ignore[operator]  # some set another forward on the instance

        return forward, []

    def _unfolded(self, name: str, proxy: Any, structure: Structure) -> Any:
        """Turn ``proxy`` into the list, tuple or dict of the recorded call, so that code can iterate over it."""
        if structure is None:
            return proxy
        kind, inner = structure
        parts = {key: self._unfolded(name, proxy[key], part) for key, part in inner}
        if kind == "tuple":
            return tuple(parts.values())
        unfolded = parts if kind == "dict" else list(parts.values())
        self._given.append((name, unfolded, unfolded.copy()))
        return unfolded

    def changed_arguments(self) -> set[str]:
        """Names of the lists and dicts among the arguments that the traced code has changed."""
        odd = set()
        for name, now, before in self._given:
            one, other = (list(v.items()) if isinstance(v, dict) else list(enumerate(v)) for v in (now, before))
            if [(key, id(value)) for key, value in one] != [(key, id(value)) for key, value in other]:
                odd.add(name)
        return odd


def trace_graph(module: nn.Module, call: Call, calls: Mapping[nn.Module, Call] = MappingProxyType({})) -> fx.Graph:
    """Trace ``module``'s forward in its current mode, and remove nodes without effect.

    Args:
        module: The module to trace.
        call: How it is called.
        calls: How its children are called, if known.

    Raises:
        Refusal: It cannot be traced.
    """
    tracer = _Tracer(call, calls)
    before = dict(vars(module))
    buffers = dict(module._buffers)
    drawn = torch.get_rng_state(), random.getstate()
    try:
        with _told_of_types_and_gradients(module):
            graph = tracer.trace(module)
    except Refusal:
        raise
    except Exception as error:  # a module's own code runs here, and may raise anything at a symbolic value
        raise Refusal(f"torch.fx: {type(error).__name__}: {first_line(error)}") from error
    finally:
        changed_buffers = sorted(name for name, value in buffers.items() if module._buffers[name] is not value)
        module._buffers.update(buffers)
        vars(module).clear()
        vars(module).update(before)
        chance = not torch.equal(torch.get_rng_state(), drawn[0]) or random.getstate() != drawn[1]
        torch.set_rng_state(drawn[0])
        random.setstate(drawn[1])
    if chance:
        raise Refusal("chance decides what it does: torch.fx would write one way of it")
    if changed_buffers:
        raise Refusal(f"its forward replaces {', '.join(f'self.{name}' for name in changed_buffers)}")
    if changed := tracer.changed_arguments():
        raise Refusal(f"it changes what it is called with ({', '.join(sorted(changed))})")
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target is F.dropout:
            rate = node.args[1] if len(node.args) > 1 else node.kwargs.get("p", 0.5)
            if rate == 0:
                node.replace_all_uses_with(node.args[0])
    for node in reversed(list(graph.nodes)):
        is_check = node.op == "call_function" and "assert" in getattr(node.target, "__name__", "")
        unused = node.op not in ("placeholder", "output") and not node.users and not _has_effect(node)
        if is_check or unused:
            graph.erase_node(node)
    return graph


@contextmanager
def _told_of_types_and_gradients(module: nn.Module) -> Iterator[None]:
    """Within it, ``module``'s code is told the types of symbolic values, and may call no gradient of its own.

    Of a ``torch.autograd.Function`` the forward alone would be traced; those of torch (checkpointing) are let through.
    """
    original = torch.autograd.Function.__dict__["apply"]

    def apply(cls: type, *args: Any, **kwargs: Any) -> Any:
        """Refuse a class that may compute its own gradient."""
        if not cls.__module__.startswith("torch."):
            raise Refusal(f"torch.fx does not see the gradient of {cls.__name__}")
        return original.__get__(None, cls)(*args, **kwargs)

    names = {cls.__module__ for cls in type(module).__mro__} & sys.modules.keys()
    rooms = [vars(sys.modules[name]) for name in names if name != "builtins" and not name.startswith("torch.")]
    changed = [(room, "isinstance", room.get("isinstance"), _isinstance) for room in rooms]
    for room in (vars(module), *rooms):
        bound = [(name, value) for name, value in room.items() if of_autograd(value)]
        changed += [(room, name, value, partial(apply, value.__self__)) for name, value in bound]
    torch.autograd.Function.apply = classmethod(apply)  # type: ignore[method-assign, assignment]
    try:
        for room, name, _, other in changed:
            room[name] = other
        yield
    finally:
        torch.autograd.Function.apply = original
        for room, name, value, _ in changed:
            if value is None:
                del room[name]
            else:
                room[name] = value


def references(module: nn.Module) -> dict[str, nn.Module]:
    """Modules that ``module`` refers to without owning them: in a tuple of one, or hidden from ``nn.Module``."""
    modules = {}
    for name, value in module.__dict__.items():
        held = value[0] if isinstance(value, tuple | list) and len(value) == 1 else value
        if isinstance(held, nn.Module):
            modules[name] = held
    return modules


def _has_effect(node: fx.Node) -> bool:
    if node.op == "call_module":
        return True
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op != "get_attr" and (name.endswith("_") or name in IN_PLACE or name == "setitem")
