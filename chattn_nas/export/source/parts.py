"""Decides how to write each module: as a constructor call, as a copied class, or as a generated class."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import torch
from torch import nn

from chattn_nas.errors import ExportError
from chattn_nas.export.source.attention import attention_call, is_attention
from chattn_nas.export.source.calls import call_of, record_calls
from chattn_nas.export.source.copied import copy_methods
from chattn_nas.export.source.inlined import Inlined
from chattn_nas.export.source.leaf import bare_base, call_arguments, is_leaf, is_norm_act, is_nothing, leaf_call
from chattn_nas.export.source.module_source import ModuleSource, holder, on_torch_base
from chattn_nas.export.source.refusal import INSTEAD, Refusal
from chattn_nas.export.source.traced import trace
from chattn_nas.export.source.wrappers import is_wrapper


class Parts:
    """Every module of a network, written in one of these ways.

    Containers (``nn.Sequential`` and the like) and wrappers are in ``paths`` alone.

    Args:
        network: Any tree of modules.
        example: A batch (B, C, H, W) for it.

    Attributes:
        paths: The first path of each module.
        leaves: Constructor calls of modules that need nothing else.
        sources: Sources of modules that get a class of their own.
        wrappers: Our own modules around an attention.
        inlined: Classes that are copied whole.

    Raises:
        ExportError: A module cannot be written; the message names it and says why.
    """

    def __init__(self, network: nn.Module, example: torch.Tensor) -> None:
        self.paths: dict[nn.Module, str] = {}
        self.leaves: dict[nn.Module, str] = {}
        self.sources: dict[nn.Module, ModuleSource] = {}
        self.wrappers: set[nn.Module] = set()
        self.inlined = Inlined()
        self._calls = record_calls(network, example)
        self._changing = {module for module, call in self._calls.items() if call.changes}
        self._methods: dict[nn.Module, dict[str, None]] = {}  # that others call, beside forward
        self._visit(network, "")

    def _visit(self, module: nn.Module, path: str) -> None:
        if module in self.paths:
            return
        self.paths[module] = path
        try:
            children = self._write(module)
        except Refusal as refusal:
            where = f"module {path!r}" if path else "the network"
            kind = type(module)
            raise ExportError(
                f"{where} ({kind.__module__}.{kind.__name__}) cannot be written as source: {refusal}; {INSTEAD}"
            ) from refusal
        for name in children:
            self._visit(module._modules[name], f"{path}.{name}" if path else name)  # type: ignore[arg-type]

    def _write(self, module: nn.Module) -> Iterable[str]:
        """Write ``module`` in one of these ways; return the names of the children that remain to be written."""
        if is_leaf(module):
            self.leaves[module] = leaf_call(module)
            return ()
        if is_norm_act(module) and all(is_nothing(child) for child in module.children()):
            self.leaves[module] = f"nn.BatchNorm2d({call_arguments(module, nn.BatchNorm2d)})"
            return ()
        if is_wrapper(module):
            self.wrappers.add(module)
            return list(module._modules)
        if _is_container(module) and module not in self._methods:
            return [name for name, child in module._modules.items() if child is not None]
        if is_attention(module):
            with contextlib.suppress(Refusal):  # one that does not stand alone is written as any other module
                self.leaves[module] = attention_call(module, self.inlined)
                return ()
        base = bare_base(module)
        if base is not None and module not in self._methods:
            with contextlib.suppress(Refusal):
                self.leaves[module] = f"nn.{base.__name__}({call_arguments(module, base)})"
                return ()
        self.sources[module] = self._source(module)
        for child, name in self.sources[module].child_methods:
            if child in self.paths:
                raise Refusal(f"it calls {name} of a module that is written already")
            self._methods.setdefault(child, {})[name] = None
        return self.sources[module].children

    def _source(self, module: nn.Module) -> ModuleSource:
        """Trace a module, else rewrite it from its source; if nothing calls it, make a holder of its children."""
        reached = [
            name
            for name, child in module._modules.items()
            if child is not None and any(part in self._calls for part in child.modules())
        ]
        if module in self._methods:
            forward = ["forward"] if module in self._calls else []
            return copy_methods(module, [*forward, *self._methods[module]])
        if module not in self._calls and reached:  # its parent went through a method of it, and is written that way
            return holder(module, reached)
        call = call_of(module, self._calls)
        refusals: dict[str, None] = {}
        for write in (
            lambda: trace(module, call, self._calls),
            lambda: copy_methods(module, alone=True),  # one class, whatever the length of its lists
            lambda: trace(module, call, self._calls, lists=True, changing=self._changing),
            lambda: copy_methods(module),
            # a list that a child changes may not be read again; the proof shows whether it is
            lambda: trace(module, call, self._calls, lists=True),
        ):
            try:
                return on_torch_base(module, write())
            except Refusal as refusal:
                refusals[str(refusal)] = None
        if module not in self._calls:
            return holder(module, list(module._modules))
        raise Refusal("; ".join(refusals))


def _is_container(module: nn.Module) -> bool:
    kind = type(module)
    if kind in (nn.Sequential, nn.ModuleList, nn.ModuleDict):
        return True
    return isinstance(module, nn.Sequential) and kind.forward is nn.Sequential.forward
