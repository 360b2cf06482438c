"""Writes a graph of ``torch.fx`` as a ``forward`` that a person could have written."""

from __future__ import annotations

import operator
import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import fx, nn

from chattn_nas.export.source.bindings import INFIX, Bindings, is_infix
from chattn_nas.export.source.calls import Call
from chattn_nas.export.source.functions import parameter_names, path_text, qualified
from chattn_nas.export.source.graph import IN_PLACE, references
from chattn_nas.export.source.module_source import ModuleSource, Placeholder, children_and_base, own_tensors
from chattn_nas.export.source.refusal import Refusal


def forward_text(
    module: nn.Module, graph: fx.Graph, call: Call, *, lists: bool = True, changing: Collection[nn.Module] = ()
) -> ModuleSource:
    """Write the source of ``module``; its placeholders are numbered in the order of the text.

    Args:
        module: The traced module.
        graph: The graph of its forward.
        call: How it is called.
        lists: Whether it may pass lists and dicts to its children.
        changing: Modules that change a list among their arguments: a new list would not do the same.

    Raises:
        Refusal: Something in the graph cannot be written down.
    """
    writer = _Statements(module, graph, lists, changing)
    arguments = writer.arguments(call)
    lines = writer.lines()
    children, base = children_and_base(module, writer.used_children)
    return ModuleSource(
        origin=type(module),
        methods=f"def forward(self, {', '.join(arguments)}):\n" + "\n".join("    " + line for line in lines),
        placeholders=tuple(writer.placeholders),
        children=children,
        tensors=own_tensors(module),
        bases=base,
        references=tuple(writer.references.items()),
    )


class _Expressions:
    """Writes nodes of a graph and their arguments as expressions."""

    def __init__(self, module: nn.Module, graph: fx.Graph, lists: bool, changing: Collection[nn.Module]) -> None:
        self.module = module
        self.lists = lists
        self.nodes = list(graph.nodes)
        self.changing = changing
        self.bindings = Bindings(self.nodes)
        self.placeholders: list[Placeholder] = []
        self.references: dict[str, nn.Module] = {}
        self._held = references(module)

    def value(self, value: Any, *, name: str = "", constant: bool = True) -> str:
        """Write an argument of a node: a variable, an expression, or a constant.

        Args:
            value: The argument, as ``torch.fx`` stores it.
            name: The parameter's name in the called function, if known.
            constant: Write a constant as a placeholder, in which instances of one class may differ.
        """
        if isinstance(value, fx.Node):
            return self.bindings[value] if value in self.bindings else self.expression(value)
        if not _holds_node(value):
            placeholder = Placeholder(value, name)
            text = placeholder.text  # raises where it cannot be written
            if not constant:
                return text
            self.placeholders.append(placeholder)
            return f"placeholder_{len(self.placeholders) - 1}__"
        if isinstance(value, tuple):
            inner = ", ".join(self.value(item, constant=constant) for item in value)
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        if isinstance(value, list):
            return "[" + ", ".join(self.value(item, constant=constant) for item in value) + "]"
        if isinstance(value, Mapping):
            inner = ", ".join(f"{key!r}: {self.value(item, constant=constant)}" for key, item in value.items())
            return f"{{{inner}}}"
        raise Refusal(f"an argument of type {type(value).__name__} cannot be written down")

    def expression(self, node: fx.Node) -> str:
        """Write the expression that computes ``node``."""
        if node.op == "call_module":
            return self._module_call(node)
        if node.op == "get_attr":
            return path_text(self.module, str(node.target))
        if node.op == "call_method":
            return f"{self._operand(node.args[0])}.{node.target}({self._arguments(node, skip=1)})"
        function: Any = node.target
        if function is getattr:
            return f"{self._operand(node.args[0])}.{node.args[1]}"
        if function is operator.getitem:
            return f"{self._operand(node.args[0])}[{self.index(node.args[1])}]"
        if function is operator.neg:
            return f"-{self._operand(node.args[0])}"
        if is_infix(node):
            return f"{self._operand(node.args[0])} {INFIX[function.__name__]} {self._operand(node.args[1])}"
        return f"{qualified(function)}({self._arguments(node, names=parameter_names(function))})"

    def index(self, index: Any) -> str:
        """Write an index, as it appears in square brackets."""
        if isinstance(index, tuple) and index:
            return ", ".join(self.index(item) for item in index) + ("," if len(index) == 1 else "")
        if not isinstance(index, slice):
            return self.value(index, constant=False)
        start, stop = ("" if part is None else self.value(part, constant=False) for part in (index.start, index.stop))
        step = [] if index.step is None else [self.value(index.step, constant=False)]
        spaced = any(part and not re.fullmatch(r"-?\w+", part) for part in (start, stop))
        return (" : " if spaced else ":").join([start, stop, *step]).strip()

    def _module_call(self, node: fx.Node) -> str:
        target = str(node.target)
        if not self.lists and any(isinstance(value, list | dict) for value in (*node.args, *node.kwargs.values())):
            raise Refusal(f"it hands a list to {target}, which may change it")
        if target in self._held:
            self.references[target] = self._held[target]
            return f"self.{target}[0]({self._arguments(node)})"
        if self.module.get_submodule(target) in self.changing:
            raise Refusal(f"it hands a list to {target}, which changes it")
        return f"{path_text(self.module, target)}({self._arguments(node)})"

    def _arguments(self, node: fx.Node, skip: int = 0, names: tuple[str, ...] = ()) -> str:
        padded = (*names, *[""] * len(node.args))
        texts = [self.value(value, name=padded[skip + i]) for i, value in enumerate(node.args[skip:])]
        texts += [f"{key}={self.value(value, name=key)}" for key, value in node.kwargs.items()]
        return ", ".join(texts)

    def _operand(self, value: Any) -> str:
        text = self.value(value)
        infix = isinstance(value, fx.Node) and value not in self.bindings and is_infix(value)
        return f"({text})" if infix else text


class _Statements(_Expressions):
    """Writes a graph as the arguments and the lines of a method."""

    def __init__(self, module: nn.Module, graph: fx.Graph, lists: bool, changing: Collection[nn.Module]) -> None:
        super().__init__(module, graph, lists, changing)
        reads = (node for node in self.nodes if node.op in ("call_module", "get_attr"))
        self.used_children = {str(node.target).partition(".")[0] for node in reads}

    def arguments(self, call: Call) -> list[str]:
        """Parameters of the method after ``self``; from the first one that may be None, all have a default."""
        texts: list[str] = []
        for node in self.nodes:
            if node.op == "placeholder":
                optional = node.target in call.absent or (texts and texts[-1].endswith("=None"))
                texts.append(self.bindings.bind_argument(node) + ("=None" if optional else ""))
        return texts

    def lines(self) -> list[str]:
        """The statements, one per line."""
        lines: list[str] = []
        for node in self.nodes:
            if node.op == "output":
                lines.append(f"return {self.value(node.args[0], constant=False)}")
            elif node.op != "placeholder" and not self.bindings.is_inlined(node):
                lines.append(self._statement(node))
        return _with_joined_return(lines)

    def _statement(self, node: fx.Node) -> str:
        name = getattr(node.target, "__name__", "") if node.op == "call_function" else ""
        if name in IN_PLACE and isinstance(node.args[0], fx.Node):
            changed = self.value(node.args[0])
            if not changed.startswith("self."):
                self.bindings.bind_same(node, changed)
            return f"{changed} {IN_PLACE[name]} {self.value(node.args[1])}"
        if node.op == "call_function" and node.target is operator.setitem:
            return f"{self.value(node.args[0])}[{self.index(node.args[1])}] = {self.value(node.args[2])}"
        text = self.expression(node)
        return f"{self.bindings.bind(node)} = {text}" if node.users else text


def _holds_node(value: Any) -> bool:
    if isinstance(value, fx.Node):
        return True
    if isinstance(value, slice):
        return any(isinstance(item, fx.Node) for item in (value.start, value.stop, value.step))
    if isinstance(value, Mapping):
        return any(_holds_node(item) for item in value.values())
    return isinstance(value, list | tuple) and any(_holds_node(item) for item in value)


def _with_joined_return(lines: list[str]) -> list[str]:
    """Join ``x = f(x)`` and ``return x`` into ``return f(x)``."""
    if len(lines) > 1:
        name, assigns, text = lines[-2].partition(" = ")
        if assigns and name.isidentifier() and lines[-1] == f"return {name}":
            return [*lines[:-2], f"return {text}"]
    return lines
