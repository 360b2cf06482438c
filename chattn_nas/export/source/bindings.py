"""Assigns variables to the values of a graph, and tells how long each is needed."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from torch import fx

from chattn_nas.export.source.graph import IN_PLACE
from chattn_nas.export.source.names import Names

INFIX = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "and_": "&", "or_": "|",
}  # fmt: skip
_SIZE_METHODS = {"size", "dim", "numel", "type"}
_SIZE_ATTRIBUTES = {"shape", "dtype", "device", "ndim"}


class Bindings:
    """Variables for the nodes of a graph, handed out from the first statement to the last.

    A value that is read once, and cannot change before that, is written where it is read (:meth:`is_inlined`). The
    others get a variable, if possible that of an argument which is no longer needed, so that a chain of layers reads
    ``x = self.conv(x)``.
    """

    def __init__(self, nodes: Sequence[fx.Node]) -> None:
        self._position = {node: index for index, node in enumerate(nodes)}
        self._last: dict[fx.Node, int] = {}
        for node in reversed(nodes):
            # a value that is written inside another statement is read where that statement is
            readers = [self._last[user] if self.is_inlined(user) else self._position[user] for user in node.users]
            self._last[node] = max(readers, default=self._position[node])
        self._names = Names()
        self._bound: dict[fx.Node, str] = {}

    def __contains__(self, node: fx.Node) -> bool:
        return node in self._bound

    def __getitem__(self, node: fx.Node) -> str:
        return self._bound[node]

    def bind_argument(self, node: fx.Node) -> str:
        """Bind an argument of the forward to a variable of its own name."""
        self._bound[node] = self._names.claim(str(node.target))
        return self._bound[node]

    def bind_same(self, node: fx.Node, name: str) -> None:
        """Bind ``node`` to the variable ``name``, which it has changed in place."""
        self._bound[node] = name

    def bind(self, node: fx.Node) -> str:
        """Bind ``node``, whose statement comes next, to a variable."""
        self._bound[node] = self._reusable(node) or self._new(node)
        return self._bound[node]

    def is_inlined(self, node: fx.Node) -> bool:
        """Whether ``node`` is written where it is read."""
        if node.op == "get_attr":
            return True
        if len(node.users) != 1:
            return False
        return is_size(node) or (_is_part_of_argument(node) and not _changes(next(iter(node.users)), node))

    def _reusable(self, node: fx.Node) -> str | None:
        """The variable of an argument of ``node`` that nothing reads later; sizes keep their own variables."""
        if is_size(node):
            return None
        for argument in node.all_input_nodes:
            name = self._bound.get(argument)
            if name is not None and not is_size(argument) and self._last_read(name) <= self._position[node]:
                return name
        return None

    def _new(self, node: fx.Node) -> str:
        for name in dict.fromkeys(self._bound.values()):
            if self._last_read(name) < self._position[node]:
                self._names.release(name)
        return self._names.new(_preferred_name(node), tensor=not is_size(node))

    def _last_read(self, name: str) -> int:
        return max(self._last[node] for node, bound in self._bound.items() if bound == name)


def is_infix(node: fx.Node) -> bool:
    """Whether ``node`` is written with an operator, such as ``x + y`` or ``-x``."""
    if node.op != "call_function":
        return False
    name = getattr(node.target, "__name__", "")
    return node.target is operator.neg or (name in INFIX and getattr(operator, name, None) is node.target)


def is_size(node: Any) -> bool:
    """Whether ``node`` is a shape or computed from shapes alone (and so is never changed in place)."""
    if not isinstance(node, fx.Node):
        return True
    if node.op == "call_method":
        return node.target in _SIZE_METHODS
    if node.op != "call_function":
        return False
    if node.target is getattr:
        return node.args[1] in _SIZE_ATTRIBUTES
    plain = node.target in (operator.getitem, math.ceil, math.floor) or node.target.__name__ in INFIX  # type: ignore[union-attr]
    return plain and all(is_size(argument) for argument in node.args)


def _is_part_of_argument(node: fx.Node) -> bool:
    """Whether ``node`` is an element of a list, tuple or dict that the forward is called with."""
    if node.op != "call_function" or node.target is not operator.getitem or not isinstance(node.args[1], int | str):
        return False
    whole = node.args[0]
    return isinstance(whole, fx.Node) and (whole.op == "placeholder" or _is_part_of_argument(whole))


def _changes(user: fx.Node, node: fx.Node) -> bool:
    """Whether ``user`` may change ``node`` in place."""
    name = user.target if isinstance(user.target, str) else getattr(user.target, "__name__", "")
    return name in IN_PLACE or name == "setitem" or name.endswith("_")


def _preferred_name(node: fx.Node) -> str:
    """A readable name for the value of ``node``."""
    if node.op == "call_module":
        *before, last = str(node.target).split(".")
        return f"{before[-1]}{last}" if before and last.isdigit() else last
    if node.target is getattr:
        return str(node.args[1])
    if node.target is operator.getitem:
        index = node.args[1]
        if not isinstance(index, int):
            return "sizes"
        return f"dim{index}" if index >= 0 else f"dim_last{-index}"
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "y")
    return "n" if name in INFIX else name
