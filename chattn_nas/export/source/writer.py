"""Writes a network as Python source: one class per distinct block, and one expression that builds it."""

from __future__ import annotations

import contextlib
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from chattn_nas.errors import ExportError
from chattn_nas.export.source.attention import attention_call, is_attention
from chattn_nas.export.source.calls import call_of, record_calls
from chattn_nas.export.source.copied import copy_methods
from chattn_nas.export.source.definition import Definition, class_name, class_text, is_positional, lifted_constants
from chattn_nas.export.source.hooks import hook_lines
from chattn_nas.export.source.inlined import Inlined
from chattn_nas.export.source.leaf import call_arguments, is_leaf, is_norm_act, is_nothing, leaf_call, literal
from chattn_nas.export.source.module_source import ModuleSource, holder, on_torch_base
from chattn_nas.export.source.refusal import Refusal
from chattn_nas.export.source.traced import trace
from chattn_nas.export.source.wrappers import is_wrapper, referred, wrapper_call

_INSTEAD = 'export it as "pt2" or "onnx" instead'
_LONGEST = 64  # numbers of a constant that are written into the source


@dataclass(frozen=True)
class Source:
    """The parts of ``model.py`` that depend on the network: imports, classes, and what builds it.

    Attributes:
        imports: Import lines beside those that every file has.
        definitions: Functions and classes.
        shared: Lines that build the modules that several blocks use.
        expression: Builds the network.
        hooks: Lines that register hooks on what the expression built, ``network``.
        tables: Constants too large for the text, which are in no weights file either, by name.
    """

    imports: tuple[str, ...]
    definitions: str
    shared: tuple[str, ...]
    expression: str
    hooks: tuple[str, ...]
    tables: Mapping[str, torch.Tensor]


def write_source(network: nn.Module, example: torch.Tensor) -> Source:
    """The source of ``network``.

    Args:
        network: Any tree of modules.
        example: A batch (B, C, H, W) that it takes.
        choices: Hyperparameters of the architecture's attention modules.
        num_classes: Number of logits.

    Raises:
        ExportError: A module cannot be written; the message names it and says why.
    """
    return _Writer(network, example).write()


class _Writer:
    def __init__(self, network: nn.Module, example: torch.Tensor) -> None:
        self.network = network
        self.inlined = Inlined()
        self.calls = record_calls(network, example)
        self.changing = {module for module, call in self.calls.items() if call.changes}
        self.methods: dict[nn.Module, dict[str, None]] = {}  # that others call, beside forward
        self.paths: dict[nn.Module, str] = {}
        self.sources: dict[nn.Module, ModuleSource] = {}
        self.leaves: dict[nn.Module, str] = {}
        self.wrappers: set[nn.Module] = set()
        self.definitions: dict[Any, Definition] = {}
        self.functions: dict[str, str] = {}
        self.imports: set[str] = set()
        self.shared: dict[nn.Module, str] = {}
        self.shared_lines: list[str] = []
        self.tables: dict[str, torch.Tensor] = {}

    def write(self) -> Source:
        """The source.

        Raises:
            ExportError: A part of the network cannot be written as source.
        """
        self._visit(self.network, "")
        self._define()
        for module in self._owned_twice():
            self.shared[module] = ""
        for source in self.sources.values():
            for name, held in source.references:
                if held not in self.paths:
                    raise ExportError(
                        f"a {source.origin.__name__} uses a module ({name}) outside the network; {_INSTEAD}"
                    )
                self.shared[held] = ""
        for wrapper in self.wrappers:
            first = referred(wrapper)
            if first is not None:
                self.shared[first] = ""
        expression = self._build(self.network)
        hooks = hook_lines(self.network, self.inlined)
        text = [class_text(definition) for definition in self._in_order()]
        functions = [*self.inlined.texts.values(), *self.functions.values()]
        self.imports |= self.inlined.imports
        return Source(
            tuple(sorted(self.imports)),
            "\n\n\n".join([*functions, *text]),
            tuple(self.shared_lines),
            expression,
            hooks,
            self.tables,
        )

    def _owned_twice(self) -> list[nn.Module]:
        """Modules that several parents own, or one under several names."""
        found: dict[nn.Module, set[tuple[int, str]]] = {}
        for path, module in self.network.named_modules(remove_duplicate=False):
            if module in self.paths:  # a child of a shared module has several paths too, but one parent and name
                found.setdefault(module, set()).add(self._place(path))
        return [module for module, places in found.items() if len(places) > 1]

    def _place(self, path: str) -> tuple[int, str]:
        """The parent of the module at ``path``, and its name there."""
        parent, _, name = path.rpartition(".")
        return id(self.network.get_submodule(parent)), name

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
                f"{where} ({kind.__module__}.{kind.__name__}) cannot be written as source: {refusal}; {_INSTEAD}"
            ) from refusal
        for name in children:
            self._visit(module._modules[name], f"{path}.{name}" if path else name)  # type: ignore[arg-type]

    def _write(self, module: nn.Module) -> Iterable[str]:
        """Take ``module`` down in one of the ways there are; the names of the children still to be written."""
        if is_leaf(module):
            self.leaves[module] = leaf_call(module)
            return ()
        if is_norm_act(module) and all(is_nothing(child) for child in module.children()):
            self.leaves[module] = f"nn.BatchNorm2d({call_arguments(module, nn.BatchNorm2d)})"
            return ()
        if is_wrapper(module):
            self.wrappers.add(module)
            return list(module._modules)
        if _is_container(module) and module not in self.methods:
            return [name for name, child in module._modules.items() if child is not None]
        if is_attention(module):
            with contextlib.suppress(Refusal):  # one that does not stand alone is written as any other module
                self.leaves[module] = attention_call(module, self.inlined)
                return ()
        self.sources[module] = self._source(module)
        for child, name in self.sources[module].child_methods:
            if child in self.paths:
                raise Refusal(f"it calls {name} of a module that is written already")
            self.methods.setdefault(child, {})[name] = None
        return self.sources[module].children

    def _source(self, module: nn.Module) -> ModuleSource:
        """Traced, or else rewritten from its own source, or else (nothing calls it) a holder of its children."""
        reached = [
            name
            for name, child in module._modules.items()
            if child is not None and any(part in self.calls for part in child.modules())
        ]
        if module in self.methods:
            forward = ["forward"] if module in self.calls else []
            return copy_methods(module, [*forward, *self.methods[module]])
        if module not in self.calls and reached:  # its parent went through a method of it, and is written that way
            return holder(module, reached)
        call = call_of(module, self.calls)
        refusals: dict[str, None] = {}
        for write in (
            lambda: trace(module, call),
            lambda: copy_methods(module, alone=True),  # one class, whatever the length of its lists
            lambda: trace(module, call, lists=True, changing=self.changing),
            lambda: copy_methods(module),
            # a list that a child changes may not be read again: whether that is so, the proof tells
            lambda: trace(module, call, lists=True),
        ):
            try:
                return on_torch_base(module, write())
            except Refusal as refusal:
                refusals[str(refusal)] = None
        if module not in self.calls:
            return holder(module, list(module._modules))
        raise Refusal("; ".join(refusals))

    def _define(self) -> None:
        """Give every distinct source a class, and lift the constants in which its instances differ."""
        for module, source in self.sources.items():
            definition = self.definitions.setdefault(source.key, Definition("", source))
            definition.members.append((module, source))
            for name, text in source.functions.items():
                if self.functions.setdefault(name, text) != text:
                    raise ExportError(f"two different functions are called {name}; {_INSTEAD}")
            self.imports.update(source.imports)
        taken: set[str] = {"nn", "F", "torch", *self.functions, *self.inlined.texts}
        for definition in self.definitions.values():
            definition.name = class_name(definition, self.definitions.values(), taken)
            taken.add(definition.name)
            definition.lifted = lifted_constants(definition)

    def _in_order(self) -> list[Definition]:
        """Innermost first, the network's own class last."""
        order: list[Definition] = []

        def descend(module: nn.Module) -> None:
            for child in module.children():
                descend(child)
            if module in self.sources:
                definition = self.definitions[self.sources[module].key]
                if definition not in order:
                    order.append(definition)

        descend(self.network)
        return order

    def _build(self, module: nn.Module) -> str:
        if module in self.shared:
            if not self.shared[module]:
                text = self._expression(module)
                name = re.sub(r"\W", "_", self.paths[module])
                name = name if name.isidentifier() and not keyword.iskeyword(name) else f"module_{name}"
                self.shared[module] = name
                self.shared_lines.append(f"{name} = {text}")
            return self.shared[module]
        return self._expression(module)

    def _expression(self, module: nn.Module) -> str:
        if module in self.leaves:
            return self.leaves[module]
        if module in self.wrappers:
            return wrapper_call(module, self._build, self.inlined)
        if module not in self.sources:
            return self._container(module)
        source = self.sources[module]
        definition = self.definitions[source.key]
        arguments = []
        for name in source.tensors:
            arguments.append((name, self._tensor(module, name)))
        children = [(name, self._build(module._modules[name])) for name in source.children]  # type: ignore[arg-type]
        arguments += [] if is_positional(source) else children
        arguments += [(name, self._build(held)) for name, held in source.references]
        arguments += [(name, source.placeholders[index].text) for name, index in definition.settings().items()]
        before = [source.base_arguments] if source.base_arguments else []
        if is_positional(source):
            inner = ", ".join(f"{literal(name)}: {text}" if source.bases == "nn.ModuleDict" else text
                for name, text in children)  # fmt: skip
            before = [{"nn.ModuleDict": f"{{{inner}}}", "nn.ModuleList": f"[{inner}]"}.get(source.bases, inner)]
        return f"{definition.name}({', '.join([*before, *(f'{name}={text}' for name, text in arguments)])})"

    def _tensor(self, module: nn.Module, name: str) -> str:
        """What stands for a tensor until the weights are loaded; a buffer that no file of weights holds is written."""
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
        key = next(known, f"{self.paths[module]}.{name}")
        self.tables.setdefault(key, value.cpu().clone())
        return f"table({literal(key)})"

    def _container(self, module: nn.Module) -> str:
        children = [(name, self._build(child)) for name, child in module._modules.items() if child is not None]
        numbered = [name for name, _ in children] == [str(i) for i in range(len(children))]
        if isinstance(module, nn.ModuleDict):
            inner = ", ".join(f"{literal(name)}: {text}" for name, text in children)
            return f"nn.ModuleDict({{{inner}}})"
        if isinstance(module, nn.ModuleList):
            if not numbered:
                raise ExportError(f"{self.paths[module]!r}: a list of modules with gaps; {_INSTEAD}")
            return f"nn.ModuleList([{', '.join(text for _, text in children)}])"
        if numbered:
            return f"nn.Sequential({', '.join(text for _, text in children)})"
        self.imports.add("from collections import OrderedDict")
        inner = ", ".join(f"{name}={text}" for name, text in children)
        if all(name.isidentifier() for name, _ in children):
            return f"nn.Sequential(OrderedDict({inner}))"
        inner = ", ".join(f"({literal(name)}, {text})" for name, text in children)
        return f"nn.Sequential(OrderedDict([{inner}]))"


def _is_container(module: nn.Module) -> bool:
    kind = type(module)
    if kind in (nn.Sequential, nn.ModuleList, nn.ModuleDict):
        return True
    return isinstance(module, nn.Sequential) and kind.forward is nn.Sequential.forward


def _filled(filler: str, value: torch.Tensor) -> str:
    kind = "" if value.dtype == torch.float32 else f", dtype={value.dtype}"
    return f"torch.{filler}({literal(tuple(value.shape))}{kind})"
