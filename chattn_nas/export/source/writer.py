"""Writes a network as Python source: one class per distinct block, and one expression that builds it."""

from __future__ import annotations

import contextlib
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
from chattn_nas.export.source.piece import Piece, holder, on_torch_base
from chattn_nas.export.source.refusal import Refusal
from chattn_nas.export.source.traced import trace
from chattn_nas.export.source.wrappers import is_wrapper, referred, wrapper_call
from chattn_nas.space import StageChoice

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


def write_source(
    network: nn.Module, example: torch.Tensor, *, choices: Iterable[StageChoice] = (), num_classes: int = 0
) -> Source:
    """The source of ``network``.

    Args:
        network: Any tree of modules.
        example: A batch (B, C, H, W) that it takes.
        choices: Hyperparameters of the architecture's attention modules.
        num_classes: Number of logits.

    Raises:
        ExportError: A module cannot be written; the message names it and says why.
    """
    return _Writer(network, example, tuple(choices), num_classes).write()


class _Writer:
    def __init__(
        self, network: nn.Module, example: torch.Tensor, choices: tuple[StageChoice, ...], num_classes: int
    ) -> None:
        self.network = network
        self.choices = choices
        self.num_classes = num_classes
        self.inlined = Inlined()
        self.calls, self.shapes = record_calls(network, example)
        self.paths: dict[nn.Module, str] = {}
        self.pieces: dict[nn.Module, Piece] = {}
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
        for module, paths in self._owners().items():
            if len(paths) > 1:
                self.shared[module] = ""
        for piece in self.pieces.values():
            for name, held in piece.references:
                if held not in self.paths:
                    raise ExportError(
                        f"a {piece.origin.__name__} uses a module ({name}) outside the network; {_INSTEAD}"
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

    def _owners(self) -> dict[nn.Module, list[str]]:
        found: dict[nn.Module, list[str]] = {}
        for name, module in self.network.named_modules(remove_duplicate=False):
            if module in self.paths:
                found.setdefault(module, []).append(name)
        # a child of a shared module has several paths too, but only one parent
        return {
            module: paths for module, paths in found.items()
            if len({id(self.network.get_submodule(path.rpartition(".")[0])) for path in paths}) > 1 or len(paths) == 1
        }  # fmt: skip

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
        if _is_container(module):
            return [name for name, child in module._modules.items() if child is not None]
        if is_attention(module):
            with contextlib.suppress(Refusal):  # one that does not stand alone is written as any other module
                shape = self.shapes.get(module)
                self.leaves[module] = attention_call(module, shape, self.choices, self.num_classes, self.inlined)
                return ()
        self.pieces[module] = self._piece(module)
        return self.pieces[module].children

    def _piece(self, module: nn.Module) -> Piece:
        """Traced, or else rewritten from its own source, or else (nothing calls it) a holder of its children."""
        refusals = []
        for write in (lambda: trace(module, call_of(module, self.calls)), lambda: copy_methods(module)):
            try:
                return on_torch_base(module, write())
            except Refusal as refusal:
                refusals.append(str(refusal))
        if module not in self.calls:
            return holder(module)
        raise Refusal("; ".join(refusals))

    def _define(self) -> None:
        """Give every distinct piece a class, and lift the constants in which its instances differ."""
        for module, piece in self.pieces.items():
            definition = self.definitions.setdefault(piece.key, Definition("", piece))
            definition.members.append((module, piece))
            for name, text in piece.functions.items():
                if self.functions.setdefault(name, text) != text:
                    raise ExportError(f"two different functions are called {name}; {_INSTEAD}")
            self.imports.update(piece.imports)
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
            if module in self.pieces:
                definition = self.definitions[self.pieces[module].key]
                if definition not in order:
                    order.append(definition)

        descend(self.network)
        return order

    def _build(self, module: nn.Module) -> str:
        if module in self.shared:
            if not self.shared[module]:
                text = self._expression(module)
                name = self.paths[module].replace(".", "_")
                self.shared[module] = name
                self.shared_lines.append(f"{name} = {text}")
            return self.shared[module]
        return self._expression(module)

    def _expression(self, module: nn.Module) -> str:
        if module in self.leaves:
            return self.leaves[module]
        if module in self.wrappers:
            return wrapper_call(module, self._build, self.inlined)
        if module not in self.pieces:
            return self._container(module)
        piece = self.pieces[module]
        definition = self.definitions[piece.key]
        arguments = []
        for name in piece.tensors:
            arguments.append((name, self._tensor(module, name)))
        children = [(name, self._build(module._modules[name])) for name in piece.children]  # type: ignore[arg-type]
        arguments += [] if is_positional(piece) else children
        arguments += [(name, self._build(held)) for name, held in piece.references]
        arguments += [(name, piece.holes[index].text) for name, index in definition.settings().items()]
        before = [piece.base_arguments] if piece.base_arguments else []
        if is_positional(piece):
            inner = ", ".join(f"{literal(name)}: {text}" if piece.bases == "nn.ModuleDict" else text
                for name, text in children)  # fmt: skip
            before = [{"nn.ModuleDict": f"{{{inner}}}", "nn.ModuleList": f"[{inner}]"}.get(piece.bases, inner)]
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
