"""Writes the ``forward`` of one module by tracing it with ``torch.fx``, all its children as leaves."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from chattn_nas.export.source.leaf import is_nothing
from chattn_nas.export.source.names import Names
from chattn_nas.export.source.piece import Hole, Piece, children_and_base, own_tensors
from chattn_nas.export.source.refusal import Refusal

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "and_": "&", "or_": "|",
}  # fmt: skip
_IN_PLACE = {"iadd": "+=", "imul": "*=", "isub": "-=", "itruediv": "/="}
_SIZE_METHODS = {"size", "dim", "numel", "type"}
_SIZE_ATTRIBUTES = {"shape", "dtype", "device", "ndim"}


@dataclass(frozen=True)
class Call:
    """How a module is called: the names of its arguments, which were None, which were lists (that it may change).

    ``varies`` where it is called in several ways.
    """

    names: tuple[str, ...]
    absent: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    varies: bool = False


class _Tracer(fx.Tracer):
    """All children are leaves, those that do nothing vanish, buffers stay symbolic."""

    proxy_buffer_attributes = True

    def __init__(self, call: Call) -> None:
        super().__init__(autowrap_modules=(math,))
        self._call = call
        self.references: dict[str, nn.Module] = {}

    def path_of_module(self, mod: nn.Module) -> str:
        """As torch.fx names it; a module that the root refers to without owning it goes by the attribute's name."""
        for name, held in references(self.root).items():
            if held is mod:
                self.references[name] = mod
                return name
        return super().path_of_module(mod)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if is_nothing(m):
            return args[0]
        return super().call_module(m, forward, args, kwargs)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        proxies = {name: self.create_proxy("placeholder", name, (), {}) for name in self._call.names}
        given = {name: None if name in self._call.absent else proxy for name, proxy in proxies.items()}

        def forward(*_: Any) -> Any:
            return self.root.forward(**given)  # type: ignore[operator]  # some set another forward on the instance

        return forward, []


def trace_graph(module: nn.Module, call: Call) -> fx.Graph:
    """The graph of ``module``'s forward as it is now, children as leaves, what has no effect removed.

    Raises:
        Refusal: It cannot be traced.
    """
    try:
        graph = _Tracer(call).trace(module)
    except Exception as error:  # a module's own code runs here, and may raise anything at a symbolic value
        raise Refusal(
            f"torch.fx: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from error
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


def references(module: nn.Module) -> dict[str, nn.Module]:
    """Modules that ``module`` holds without owning them: in a tuple of one, or behind the back of ``nn.Module``."""
    found = {}
    for name, value in module.__dict__.items():
        held = value[0] if isinstance(value, tuple | list) and len(value) == 1 else value
        if isinstance(held, nn.Module):
            found[name] = held
    return found


def _has_effect(node: fx.Node) -> bool:
    if node.op == "call_module":
        return True
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op != "get_attr" and (name.endswith("_") or name in _IN_PLACE or name == "setitem")


def trace(module: nn.Module, call: Call) -> Piece:
    """The piece of ``module``, traced in training and in evaluation mode.

    Raises:
        Refusal: It cannot be traced, or does another thing in training that is no mere ``training`` flag.
    """
    if call.varies:
        raise Refusal("it is called sometimes with and sometimes without an argument")
    if call.lists:
        raise Refusal(f"it is called with a list ({', '.join(sorted(call.lists))})")
    modes = {name: child.training for name, child in module.named_modules()}
    try:
        written = []
        for mode in (True, False):
            module.train(mode)
            written.append(_Forward(module, trace_graph(module, call), call).write())
    finally:
        for name, child in module.named_modules():
            child.training = modes[name]
    training, evaluation = written
    if training.methods != evaluation.methods:
        raise Refusal("it computes something else in training")
    text = training.methods
    for index, (one, other) in enumerate(zip(training.holes, evaluation.holes, strict=True)):
        if one.value is True and other.value is False:
            text = text.replace(f"hole_{index}__", "self.training")
        elif one != other:
            raise Refusal("it computes with other constants in training")
    return Piece(**{**vars(training), "methods": text})


@dataclass
class _Forward:
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
        lines, arguments = [], []
        for node in self.nodes:
            if node.op == "placeholder":
                self.bound[node] = self.names.claim(node.target)
                arguments.append(self.bound[node] + ("=None" if node.target in self.call.absent else ""))
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
        if node.op == "call_function" and name in _IN_PLACE:
            target = self._text(node.args[0])
            if not target.startswith("self."):
                self.bound[node] = target
            return f"{target} {_IN_PLACE[name]} {self._text(node.args[1])}"
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
            return str(node.target).rsplit(".", 1)[-1]
        if node.target is getattr:
            return str(node.args[1])
        if node.target is operator.getitem and isinstance(node.args[1], int):
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
            spaced = any(" " in part for part in parts)
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
            path = f"self.{node.target}[0]" if node.target in held else _path(str(node.target))
            if node.target in held:
                self.references[str(node.target)] = held[str(node.target)]
            return f"{path}({self._arguments(node)})"
        if node.op == "get_attr":
            return _path(str(node.target))
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


def _path(target: str) -> str:
    text = "self"
    for part in target.split("."):
        if part.isdigit():
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}"
        else:
            raise Refusal(f"its child is called {part!r}, which is no Python name")
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
