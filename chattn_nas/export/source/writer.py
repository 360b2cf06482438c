"""Writes a network as Python source: one class per distinct block, and one expression that builds it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from chattn_nas.errors import ExportError
from chattn_nas.export.source.attention import attention_call, is_attention
from chattn_nas.export.source.calls import call_of, record_calls
from chattn_nas.export.source.copied import copy_methods
from chattn_nas.export.source.inlined import Inlined
from chattn_nas.export.source.leaf import call_arguments, is_leaf, is_norm_act, is_nothing, leaf_call, literal
from chattn_nas.export.source.piece import Hole, Piece, holder, on_torch_base
from chattn_nas.export.source.refusal import Refusal
from chattn_nas.export.source.traced import trace
from chattn_nas.space import StageChoice

_INSTEAD = 'export it as "pt2" or "onnx" instead'


@dataclass
class Definition:
    """A class of the generated module, shared by all modules of one key."""

    name: str
    piece: Piece
    members: list[tuple[nn.Module, Piece]] = field(default_factory=list)
    lifted: dict[int, str] = field(default_factory=dict)

    def settings(self) -> dict[str, int]:
        """Constructor arguments that are constants, with a hole that each fills; torch's base class brings its own."""
        known = self.members[0][0].__dict__ if self.piece.base_arguments is not None else {}
        return {name: index for index, name in self.lifted.items() if name not in known}


@dataclass(frozen=True)
class Source:
    """The parts of ``model.py`` that depend on the network: imports, classes, and what builds it."""

    imports: tuple[str, ...]
    definitions: str
    shared: tuple[str, ...]
    expression: str


def write_source(
    network: nn.Module, example: torch.Tensor, *, choices: Iterable[StageChoice] = (), num_classes: int = 0
) -> Source:
    """The source of ``network``.

    Args:
        network: Any tree of modules.
        example: A batch (B, C, H, W) that it takes.
        choices: Of the architecture: the hyperparameters of its attention modules.
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
        self.definitions: dict[Any, Definition] = {}
        self.functions: dict[str, str] = {}
        self.imports: set[str] = set()
        self.shared: dict[nn.Module, str] = {}
        self.shared_lines: list[str] = []

    def write(self) -> Source:
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
        expression = self._build(self.network)
        text = [self._class_text(definition) for definition in self._in_order()]
        functions = [*self.inlined.texts.values(), *self.functions.values()]
        self.imports |= self.inlined.imports
        return Source(
            tuple(sorted(self.imports)), "\n\n\n".join([*functions, *text]), tuple(self.shared_lines), expression
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
            self.functions.update(piece.functions)
            self.imports.update(piece.imports)
        taken: set[str] = {"nn", "F", "torch", *self.functions, *self.inlined.texts}
        for definition in self.definitions.values():
            definition.name = _class_name(definition, self.definitions.values(), taken)
            taken.add(definition.name)
            definition.lifted = _lifted(definition)

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
        if module not in self.pieces:
            return self._container(module)
        piece = self.pieces[module]
        definition = self.definitions[piece.key]
        arguments = []
        for name in piece.tensors:
            arguments.append((name, _tensor(module, name)))
        for name in piece.children:
            arguments.append((name, self._build(module._modules[name])))  # type: ignore[arg-type]
        arguments += [(name, self._build(held)) for name, held in piece.references]
        arguments += [(name, piece.holes[index].text) for name, index in definition.settings().items()]
        if _positional(piece):
            if len(arguments) > len(piece.children):
                raise ExportError(f"{self.paths[module]!r} is a list of modules with settings of its own; {_INSTEAD}")
            if piece.bases == "nn.ModuleList":
                return f"{definition.name}([{', '.join(text for _, text in arguments)}])"
            return f"{definition.name}({', '.join(text for _, text in arguments)})"
        before = [piece.base_arguments] if piece.base_arguments else []
        return f"{definition.name}({', '.join([*before, *(f'{name}={text}' for name, text in arguments)])})"

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

    def _class_text(self, definition: Definition) -> str:
        piece = definition.piece
        settings = definition.settings()
        methods = re.sub(
            r"hole_(\d+)__",
            lambda match: (
                f"self.{definition.lifted[int(match[1])]}"
                if int(match[1]) in definition.lifted
                else piece.holes[int(match[1])].text
            ),
            piece.methods,
        )
        lines = [f"class {definition.name}({piece.bases}):", f'    """{_origin(piece)}"""', ""]
        module = definition.members[0][0]
        arguments = [
            f"{name}: {'nn.Parameter' if name in module._parameters else 'torch.Tensor'}" for name in piece.tensors
        ]
        arguments += [f"{name}: nn.Module" for name in piece.children]
        references = [name for name, _ in piece.references]
        arguments += [f"{name}: nn.Module" for name in references]
        arguments += [f"{name}: {_annotation(piece.holes[index])}" for name, index in settings.items()]
        if arguments and not _positional(piece):
            if piece.base_arguments is None:
                lines += [f"    def __init__(self, {', '.join(arguments)}):", "        super().__init__()"]
            else:
                lines += [f"    def __init__(self, *args, {', '.join(arguments)}, **kwargs):"]
                lines += ["        super().__init__(*args, **kwargs)"]
            for name in piece.tensors:
                if name in module._parameters:
                    lines.append(f"        self.{name} = {name}")
                else:
                    keep = ", persistent=False" if name in module._non_persistent_buffers_set else ""
                    lines.append(f'        self.register_buffer("{name}", {name}{keep})')
            lines += [f"        self.{name} = {name}" for name in (*piece.children, *settings)]
            lines += [
                f"        self.{name} = ({name},)  # in a tuple: registered by the block that owns it"
                for name in references
            ]
            lines.append("")
        lines += ["    " + line if line else "" for line in methods.splitlines()]
        return "\n".join(lines)


def _positional(piece: Piece) -> bool:
    """Whether the children are handed in without names, as to ``nn.Sequential``."""
    return bool(piece.children) and piece.children[0].isdigit()


def _is_container(module: nn.Module) -> bool:
    kind = type(module)
    if kind in (nn.Sequential, nn.ModuleList, nn.ModuleDict):
        return True
    return isinstance(module, nn.Sequential) and kind.forward is nn.Sequential.forward


def _origin(piece: Piece) -> str:
    origin = piece.origin
    credit = " (Apache-2.0)" if origin.__module__.startswith("timm") else ""
    return f"From {origin.__module__}.{origin.__qualname__}{credit}."


def _class_name(definition: Definition, definitions: Iterable[Definition], taken: set[str]) -> str:
    """The original name; what distinguishes a second class of that name by its children follows it."""
    base = definition.piece.origin.__name__
    if base not in taken:
        return base
    first = next(other for other in definitions if other.piece.origin.__name__ == base)
    extra = [name for name in definition.piece.children if name not in first.piece.children]
    missing = [name for name in first.piece.children if name not in definition.piece.children]
    words = [_camel(name) for name in extra] or [f"No{_camel(name)}" for name in missing]
    if 0 < len(words) <= 2 and base + "".join(words) not in taken:
        return base + "".join(words)
    number = 2
    while f"{base}{number}" in taken:
        number += 1
    return f"{base}{number}"


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in re.split(r"\W|_", name))


def _lifted(definition: Definition) -> dict[int, str]:
    """For every hole in which the members differ the name of its constructor argument."""
    named: dict[tuple[Any, ...], str] = {}
    found: dict[int, str] = {}
    taken = {*definition.piece.children, *definition.piece.tensors, "self", "training"}
    for index in range(len(definition.piece.holes)):
        texts = tuple(piece.holes[index].text for _, piece in definition.members)
        if len(set(texts)) == 1:
            continue
        if texts not in named:
            wish = definition.piece.holes[index].name
            name = _attribute(definition, index, wish) or (wish if wish.isidentifier() else "") or "value"
            while name in taken or hasattr(nn.Module, name):
                name += "_"
            named[texts] = name
            taken.add(name)
        found[index] = named[texts]
    return found


def _attribute(definition: Definition, index: int, wish: str) -> str:
    """The attribute that holds the constant in every member."""

    def holds(module: nn.Module, name: str, hole: Hole) -> bool:
        try:
            return name in module.__dict__ and literal(module.__dict__[name]) == hole.text
        except Refusal:
            return False

    members = definition.members
    names = [name for name in members[0][0].__dict__ if not name.startswith("_") and name.isidentifier()]
    fitting = [name for name in names if all(holds(module, name, piece.holes[index]) for module, piece in members)]
    return wish if wish in fitting else fitting[0] if fitting else ""


def _annotation(hole: Hole) -> str:
    value = hole.value
    if isinstance(value, tuple) and value and len({type(item) for item in value}) == 1:
        return f"tuple[{type(value[0]).__name__}, ...]"
    if value is None:
        return "object"
    plain = (bool, int, float, str, tuple, list, dict)  # torch.fx and torch.Size have their own kinds of these
    return next((kind.__name__ for kind in plain if isinstance(value, kind)), "object")


def _tensor(module: nn.Module, name: str) -> str:
    """What stands for a tensor until the weights are loaded; a buffer that no file holds is written out."""
    value = getattr(module, name).detach()
    if name in module._parameters:
        filler = "ones" if name in ("weight", "scale") and value.ndim == 1 else "zeros"
        kind = "" if value.dtype == torch.float32 else f", dtype={value.dtype}"
        return f"nn.Parameter(torch.{filler}({literal(tuple(value.shape))}{kind}))"
    if name in module._non_persistent_buffers_set:
        if value.ndim > 1 and len(value) > 1 and torch.equal(value, value[:1].expand_as(value)):
            first, times = literal(value[:1].tolist()), ", ".join(["1"] * (value.ndim - 1))
            return f"torch.tensor({first}, dtype={value.dtype}).repeat({len(value)}, {times})"
        if value.numel() > 256:
            raise ExportError(f"its buffer {name!r} of {value.numel()} values is in no weights file; {_INSTEAD}")
        return f"torch.tensor({literal(value.tolist())}, dtype={value.dtype})"
    kind = "" if value.dtype == torch.float32 else f", dtype={value.dtype}"
    return f"torch.zeros({literal(tuple(value.shape))}{kind})"
