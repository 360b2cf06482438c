"""A graph of ``torch.fx`` as the source of a ``forward`` that a person could have written."""

from __future__ import annotations

import inspect
import math
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from chattn_nas.export.source.graph import IN_PLACE, Call, references
from chattn_nas.export.source.leaf import literal
from chattn_nas.export.source.names import Names
from chattn_nas.export.source.piece import Hole, Piece, children_and_base, own_tensors
from chattn_nas.export.source.refusal import Refusal

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "and_": "&", "or_": "|",
}  # fmt: skip
_SIZE_METHODS = {"size", "dim", "numel", "type"}
_SIZE_ATTRIBUTES = {"shape", "dtype", "device", "ndim"}


@dataclass
class ForwardText:
    """Writes the forward of ``module`` from its graph."""

    module: nn.Module
    graph: fx.Graph
    call: Call
    holes: list[Hole] = field(default_factory=list)
    functions: dict[str, str] = field(default_factory=dict)
    references: dict[str, nn.Module] = field(default_factory=dict)

    def write(self) -> Piece:
        """The piece; the order of the holes is that of the text."""
        self.nodes = list(self.graph.nodes)
        self.position = {node: index for index, node in enumerate(self.nodes)}
        self.last = self._last_uses()
        self.names = Names()
        self.bound: dict[fx.Node, str] = {}
        used_children: set[str] = set()
        lines: list[str] = []
        arguments: list[str] = []
        for node in self.nodes:
            if node.op == "placeholder":
                self.bound[node] = self.names.claim(node.target)
                optional = node.target in self.call.absent or (arguments and arguments[-1].endswith("=None"))
                arguments.append(self.bound[node] + ("=None" if optional else ""))
            elif node.op == "output":
                lines.append(f"return {self._text(node.args[0], hole=False)}")
            else:
                if node.op == "call_module" or node.op == "get_attr":
                    used_children.add(str(node.target).split(".")[0])
                if not self._inlined(node):
                    lines.append(self._statement(node))
        self._join_return(lines)
        methods = f"def forward(self, {', '.join(arguments)}):\n" + "\n".join("    " + line for line in lines)
        children, base = children_and_base(self.module, used_children)
        return Piece(
            origin=type(self.module),
            methods=methods,
            holes=tuple(self.holes),
            children=children,
            tensors=own_tensors(self.module),
            functions=self.functions,
            bases=base,
            references=tuple(self.references.items()),
        )

    def _last_uses(self) -> dict[fx.Node, int]:
        """For every node the statement that reads it last; what is written inside another counts where that stands."""
        last: dict[fx.Node, int] = {}
        for node in reversed(self.nodes):
            users = [last[user] if self._inlined(user) else self.position[user] for user in node.users]
            last[node] = max(users, default=self.position[node])
        return last

    def _inlined(self, node: fx.Node) -> bool:
        """Whether ``node`` is written where it is used instead of getting a name."""
        if node.op == "get_attr":
            return True
        return self._is_size(node) and len(node.users) == 1

    def _is_size(self, node: Any) -> bool:
        """Whether ``node`` is a shape or computed from shapes alone (and so is never changed in place)."""
        if not isinstance(node, fx.Node):
            return True
        if node.op == "call_method":
            return node.target in _SIZE_METHODS
        if node.op != "call_function":
            return False
        if node.target is getattr:
            return node.args[1] in _SIZE_ATTRIBUTES
        plain = node.target in (operator.getitem, math.ceil, math.floor) or node.target.__name__ in _INFIX  # type: ignore[union-attr]
        return plain and all(self._is_size(argument) for argument in node.args)

    def _statement(self, node: fx.Node) -> str:
        name = getattr(node.target, "__name__", "")
        if node.op == "call_function" and name in IN_PLACE and isinstance(node.args[0], fx.Node):
            target = self._text(node.args[0])
            if not target.startswith("self."):
                self.bound[node] = target
            return f"{target} {IN_PLACE[name]} {self._text(node.args[1])}"
        if node.op == "call_function" and node.target is operator.setitem:
            return f"{self._text(node.args[0])}[{self._index(node.args[1])}] = {self._text(node.args[2])}"
        text = self._expression(node)
        if not node.users:
            return text
        self.bound[node] = self._name(node)
        return f"{self.bound[node]} = {text}"

    def _name(self, node: fx.Node) -> str:
        """The name of the first argument where that is not read any more, else a new one."""
        here = self.position[node]
        if not self._is_size(node):
            for argument in node.all_input_nodes:
                name = self.bound.get(argument)
                if name is None or self._is_size(argument):
                    continue
                if all(self.last[other] <= here for other, bound in self.bound.items() if bound == name):
                    return name
        for name in dict.fromkeys(self.bound.values()):
            if all(self.last[other] < here for other, bound in self.bound.items() if bound == name):
                self.names.release(name)
        return self.names.new(self._wish(node), tensor=not self._is_size(node))

    @staticmethod
    def _wish(node: fx.Node) -> str:
        if node.op == "call_module":
            *before, last = str(node.target).split(".")
            return f"{before[-1]}{last}" if before and last.isdigit() else last
        if node.target is getattr:
            return str(node.args[1])
        if node.target is operator.getitem:
            if not isinstance(node.args[1], int):
                return "sizes"
            return f"dim{node.args[1]}" if node.args[1] >= 0 else f"dim_last{-node.args[1]}"
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "y")
        return "n" if name in _INFIX else name

    def _text(self, value: Any, *, hole: bool = True, name: str = "") -> str:
        """Source of an argument; what holds no node becomes a hole."""
        if isinstance(value, fx.Node):
            return self.bound[value] if value in self.bound else self._expression(value)
        if not self._holds_node(value):
            if not hole:
                return Hole(value).text
            found = Hole(value, name)
            found.text  # noqa: B018 - raises where it cannot be written
            self.holes.append(found)
            return f"hole_{len(self.holes) - 1}__"
        if isinstance(value, tuple):
            inner = ", ".join(self._text(item, hole=hole) for item in value)
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        if isinstance(value, list):
            return "[" + ", ".join(self._text(item, hole=hole) for item in value) + "]"
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{key!r}: {self._text(item, hole=hole)}" for key, item in value.items()) + "}"
        raise Refusal(f"an argument of type {type(value).__name__} cannot be written down")

    def _holds_node(self, value: Any) -> bool:
        if isinstance(value, fx.Node):
            return True
        if isinstance(value, slice):
            return any(isinstance(item, fx.Node) for item in (value.start, value.stop, value.step))
        if isinstance(value, Mapping):
            return any(self._holds_node(item) for item in value.values())
        return isinstance(value, list | tuple) and any(self._holds_node(item) for item in value)

    def _arguments(self, node: fx.Node, skip: int = 0, names: tuple[str, ...] = ()) -> str:
        padded = (*names, *[""] * len(node.args))
        texts = [self._text(value, name=padded[skip + i]) for i, value in enumerate(node.args[skip:])]
        texts += [f"{key}={self._text(value, name=key)}" for key, value in node.kwargs.items()]
        return ", ".join(texts)

    def _index(self, index: Any) -> str:
        if isinstance(index, tuple) and index:
            return ", ".join(self._index(item) for item in index) + ("," if len(index) == 1 else "")
        if isinstance(index, slice):
            parts = ["" if part is None else self._text(part, hole=False) for part in (index.start, index.stop)]
            spaced = any(part and not re.fullmatch(r"-?\w+", part) for part in parts)
            parts += [] if index.step is None else [self._text(index.step, hole=False)]
            return (" : " if spaced else ":").join(parts).strip()
        return self._text(index, hole=False)

    def _operand(self, value: Any) -> str:
        text = self._text(value)
        infix = isinstance(value, fx.Node) and value not in self.bound and _is_infix(value)
        return f"({text})" if infix else text

    def _expression(self, node: fx.Node) -> str:
        if node.op == "call_module":
            if any(isinstance(value, list | dict) for value in (*node.args, *node.kwargs.values())):
                raise Refusal(f"it hands a list to {node.target}, which may change it")
            held = references(self.module)
            path = f"self.{node.target}[0]" if node.target in held else path_text(self.module, str(node.target))
            if node.target in held:
                self.references[str(node.target)] = held[str(node.target)]
            return f"{path}({self._arguments(node)})"
        if node.op == "get_attr":
            return path_text(self.module, str(node.target))
        if node.op == "call_method":
            return f"{self._operand(node.args[0])}.{node.target}({self._arguments(node, skip=1)})"
        function: Any = node.target
        name = getattr(function, "__name__", "")
        if function is getattr:
            return f"{self._operand(node.args[0])}.{node.args[1]}"
        if function is operator.getitem:
            return f"{self._operand(node.args[0])}[{self._index(node.args[1])}]"
        if function is operator.neg:
            return f"-{self._operand(node.args[0])}"
        if _is_infix(node):
            return f"{self._operand(node.args[0])} {_INFIX[name]} {self._operand(node.args[1])}"
        return f"{qualified(function)}({self._arguments(node, names=_parameter_names(function))})"

    def _join_return(self, lines: list[str]) -> None:
        """``x = f(x)`` and ``return x`` as ``return f(x)``."""
        if len(lines) < 2 or not lines[-1].startswith("return "):
            return
        name, found, text = lines[-2].partition(" = ")
        if found and name.isidentifier() and lines[-1] == f"return {name}":
            lines[-2:] = [f"return {text}"]


def _is_infix(node: fx.Node) -> bool:
    name = getattr(node.target, "__name__", "")
    infix = name in _INFIX and getattr(operator, name, None) is node.target
    return node.op == "call_function" and (infix or node.target is operator.neg)


def path_text(module: nn.Module, target: str, root: str = "self") -> str:
    """How source that calls ``module`` by the name ``root`` reaches its submodule ``target``.

    Raises:
        Refusal: A child's name is no name of Python.
    """
    text, found = root, module
    for part in target.split(".") if target else ():
        if isinstance(found, nn.ModuleDict):
            text += f"[{literal(part)}]"
        elif part.isdigit():
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}"
        else:
            raise Refusal(f"its child is called {part!r}, which is no Python name")
        found = getattr(found, part)
    return text


def _parameter_names(function: Any) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def qualified(function: Any) -> str:
    """How generated source names a function of torch or of the standard library.

    Raises:
        Refusal: It belongs to neither.
    """
    name = getattr(function, "__name__", "")
    for module, prefix in (
        (F, "F"),
        (torch, "torch"),
        (math, "math"),
        (torch.linalg, "torch.linalg"),
        (torch.fft, "torch.fft"),
    ):
        if getattr(module, name, None) is function:
            return f"{prefix}.{name}"
    if getattr(__builtins__ if not isinstance(__builtins__, dict) else None, name, None) is function:
        return name
    if isinstance(__builtins__, dict) and __builtins__.get(name) is function:
        return name
    raise Refusal(f"it calls {getattr(function, '__module__', '')}.{name}")
