"""Writes the expression that builds a network from its classes."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from chattn_nas.errors import ExportError
from chattn_nas.export.source.definition import Definition, is_positional
from chattn_nas.export.source.leaf import literal
from chattn_nas.export.source.parts import Parts
from chattn_nas.export.source.refusal import INSTEAD
from chattn_nas.export.source.wrappers import referred, wrapper_call

_LONGEST = 64  # numbers of a constant that are written into the source


class Builder:
    """Writes the code that builds a network.

    Args:
        network: The root of ``parts``.
        parts: Its modules.
        definitions: The classes, by :attr:`ModuleSource.key`.

    Attributes:
        lines: Statements that build modules with several parents, each in a variable.
        tables: Constants, by name, that are too large for the text and in no weights file.
        imports: Import lines.

    Raises:
        ExportError: A module uses one outside the network.
    """

    def __init__(self, network: nn.Module, parts: Parts, definitions: Mapping[Any, Definition]) -> None:
        self.lines: list[str] = []
        self.tables: dict[str, torch.Tensor] = {}
        self.imports: set[str] = set()
        self._network = network
        self._parts = parts
        self._definitions = definitions
        self._shared: dict[nn.Module, str] = dict.fromkeys(self._owned_twice(), "")
        for source in parts.sources.values():
            for name, held in source.references:
                if held not in parts.paths:
                    raise ExportError(
                        f"a {source.origin.__name__} uses a module ({name}) outside the network; {INSTEAD}"
                    )
                self._shared[held] = ""
        for wrapper in parts.wrappers:
            first = referred(wrapper)
            if first is not None:
                self._shared[first] = ""

    def build(self, module: nn.Module) -> str:
        """Write the expression that builds ``module``: a variable if it has several parents."""
        if module not in self._shared:
            return self._expression(module)
        if not self._shared[module]:
            text = self._expression(module)
            name = re.sub(r"\W", "_", self._parts.paths[module])
            name = name if name.isidentifier() and not keyword.iskeyword(name) else f"module_{name}"
            while name in self._shared.values():
                name += "_"
            self._shared[module] = name
            self.lines.append(f"{name} = {text}")
        return self._shared[module]

    def _expression(self, module: nn.Module) -> str:
        if module in self._parts.leaves:
            return self._parts.leaves[module]
        if module in self._parts.wrappers:
            return wrapper_call(module, self.build, self._parts.inlined)
        if module not in self._parts.sources:
            return self._container(module)
        source = self._parts.sources[module]
        definition = self._definitions[source.key]
        arguments = []
        for name in source.tensors:
            arguments.append((name, self._tensor(module, name)))
        children = [(name, self.build(module._modules[name])) for name in source.children]  # type: ignore[arg-type]
        arguments += [] if is_positional(source) else children
        arguments += [(name, self.build(held)) for name, held in source.references]
        arguments += [(name, source.placeholders[index].text) for name, index in definition.settings().items()]
        before = [source.base_arguments] if source.base_arguments else []
        if is_positional(source):
            inner = ", ".join(f"{literal(name)}: {text}" if source.bases == "nn.ModuleDict" else text
                for name, text in children)  # fmt: skip
            before = [{"nn.ModuleDict": f"{{{inner}}}", "nn.ModuleList": f"[{inner}]"}.get(source.bases, inner)]
        return f"{definition.name}({', '.join([*before, *(f'{name}={text}' for name, text in arguments)])})"

    def _tensor(self, module: nn.Module, name: str) -> str:
        """A placeholder for a tensor until weights are loaded; a buffer that is in no weights file is written out."""
        value = getattr(module, name).detach()
        if name in module._parameters:
            filler = "ones" if name in ("weight", "scale") and value.ndim == 1 else "zeros"
            return f"nn.Parameter({_filled(filler, value)})"
        if name not in module._non_persistent_buffers_set:
            return _filled("zeros", value)
        if value.ndim > 1 and len(value) > 1 and torch.equal(value, value[:1].expand_as(value)):
            first, times = literal(value[:1].tolist()), ", ".join(["1"] * (value.ndim - 1))
            return f"torch.tensor({first}, dtype={value.dtype}).repeat({len(value)}, {times})"
        if value.numel() <= _LONGEST:
            return f"torch.tensor({literal(value.tolist())}, dtype={value.dtype})"
        known = (key for key, table in self.tables.items() if table.dtype == value.dtype and torch.equal(table, value))
        key = next(known, f"{self._parts.paths[module]}.{name}")
        self.tables.setdefault(key, value.cpu().clone())
        return f"table({literal(key)})"

    def _container(self, module: nn.Module) -> str:
        gaps = isinstance(module, nn.ModuleList | nn.ModuleDict)  # these may hold None
        children = [
            (name, "None" if child is None else self.build(child))
            for name, child in module._modules.items()
            if gaps or child is not None
        ]
        numbered = [name for name, _ in children] == [str(i) for i in range(len(children))]
        if isinstance(module, nn.ModuleDict):
            inner = ", ".join(f"{literal(name)}: {text}" for name, text in children)
            return f"nn.ModuleDict({{{inner}}})"
        if isinstance(module, nn.ModuleList):
            if not numbered:
                raise ExportError(f"{self._parts.paths[module]!r}: a list of modules with gaps; {INSTEAD}")
            return f"nn.ModuleList([{', '.join(text for _, text in children)}])"
        if numbered:
            return f"nn.Sequential({', '.join(text for _, text in children)})"
        self.imports.add("from collections import OrderedDict")
        inner = ", ".join(f"{name}={text}" for name, text in children)
        if all(name.isidentifier() for name, _ in children):
            return f"nn.Sequential(OrderedDict({inner}))"
        inner = ", ".join(f"({literal(name)}, {text})" for name, text in children)
        return f"nn.Sequential(OrderedDict([{inner}]))"

    def _owned_twice(self) -> list[nn.Module]:
        """Modules with several parents, or several names in one parent."""
        places_of: dict[nn.Module, set[tuple[int, str]]] = {}
        for path, module in self._network.named_modules(remove_duplicate=False):
            if module in self._parts.paths:  # a child of a shared module has several paths too, but one parent and name
                places_of.setdefault(module, set()).add(self._place(path))
        return [module for module, places in places_of.items() if len(places) > 1]

    def _place(self, path: str) -> tuple[int, str]:
        """The parent of the module at ``path``, and the module's name in it."""
        parent, _, name = path.rpartition(".")
        return id(self._network.get_submodule(parent)), name


def _filled(filler: str, value: torch.Tensor) -> str:
    kind = "" if value.dtype == torch.float32 else f", dtype={value.dtype}"
    return f"torch.{filler}({literal(tuple(value.shape))}{kind})"
