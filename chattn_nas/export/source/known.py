"""Evaluates expressions in a module's source that depend only on its settings."""

from __future__ import annotations

import ast
import builtins
import inspect
from types import FunctionType
from typing import Any

import torch
from torch import nn

from chattn_nas.export.source.refusal import Refusal

#: The value of an expression that shows only at run time.
UNKNOWN = object()
#: Calls whose answer is known in an exported network.
_DECIDED = {"torch.jit.is_scripting": False, "torch.jit.is_tracing": False, "is_scripting": False}


class Known:
    """Evaluates expressions inside one function, as far as the settings of its module determine them.

    Args:
        function: A method of ``module``, or a function without a module.
        tree: Its syntax tree.
        module: The instance with the settings.
    """

    def __init__(self, function: FunctionType, tree: ast.FunctionDef, module: nn.Module | None) -> None:
        self.globals = {**function.__globals__, **dict(inspect.getclosurevars(function).nonlocals)}
        self.module = module
        self.owner = _owner(type(module), function) if module is not None else None
        self.me = tree.args.args[0].arg if module is not None and tree.args.args else None
        stored = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        self.local = {node.id for node in stored} | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and not isinstance(node.ctx, ast.Load)
                and self.is_me(node.value)
                and node.attr not in module._buffers  # type: ignore[union-attr]
            ):
                raise Refusal(f"its {tree.name} changes self.{node.attr}")
            if isinstance(node, ast.FunctionDef) and node is not tree:
                self.local.add(node.name)

    def is_me(self, node: ast.AST) -> bool:
        """Whether ``node`` is the function's own ``self``."""
        return isinstance(node, ast.Name) and self.me is not None and node.id == self.me

    def value(self, node: ast.AST) -> Any:
        """The value of an expression that depends only on settings of the module, else ``UNKNOWN``."""
        if isinstance(node, ast.Constant):
            return node.value
        if self.is_me(node):
            return self.module
        if isinstance(node, ast.Name):
            return UNKNOWN if node.id in self.local else self.globals.get(node.id, getattr(builtins, node.id, UNKNOWN))
        if isinstance(node, ast.Attribute):
            if node.attr == "training":
                return UNKNOWN
            base = self.value(node.value)
            if base is UNKNOWN or isinstance(base, torch.Tensor):
                return UNKNOWN
            return getattr(base, node.attr, UNKNOWN)
        if isinstance(node, ast.Call):
            return self.call_value(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            truth = self.truth(node.operand)
            return UNKNOWN if truth is None else not truth
        if isinstance(node, ast.BoolOp):
            truths = [self.truth(part) for part in node.values]
            decisive = isinstance(node.op, ast.Or)
            if decisive in truths and None not in truths[: truths.index(decisive)]:
                return decisive
            return UNKNOWN if None in truths else not decisive
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            one, other = self.value(node.left), self.value(node.comparators[0])
            if one is UNKNOWN or other is UNKNOWN or (isinstance(one, torch.Tensor) and other is not None):
                return UNKNOWN
            return _compare(node.ops[0], one, other)
        return UNKNOWN

    def call_value(self, node: ast.Call) -> Any:
        """The value of a call; see :meth:`value`."""
        name = ast.unparse(node.func)
        if name in _DECIDED and not node.args:
            return _DECIDED[name]
        if name in ("isinstance", "hasattr", "len", "getattr", "issubclass", "bool", "float", "int"):
            values = [self.value(argument) for argument in node.args]
            if not any(value is UNKNOWN for value in values) and not node.keywords:
                return getattr(builtins, name)(*values)
        return UNKNOWN

    def truth(self, node: ast.AST) -> bool | None:
        """Whether a condition holds; None if that depends on the run."""
        value = self.value(node)
        if value is UNKNOWN or isinstance(value, torch.Tensor):
            return None
        return True if isinstance(value, nn.Module) and not hasattr(value, "__len__") else bool(value)


def _owner(kind: type, function: FunctionType) -> type | None:
    """The class in the MRO that defines ``function``."""
    for cls in kind.__mro__:
        for value in cls.__dict__.values():
            if isinstance(value, FunctionType) and inspect.unwrap(value) is function:
                return cls
    return None


def _compare(op: ast.cmpop, one: Any, other: Any) -> Any:
    if isinstance(op, ast.Is | ast.IsNot):
        return (one is other) is isinstance(op, ast.Is)
    if isinstance(op, ast.Eq | ast.NotEq):
        return (one == other) is isinstance(op, ast.Eq)
    if isinstance(op, ast.In | ast.NotIn):
        return (one in other) is isinstance(op, ast.In)
    try:
        if isinstance(op, ast.Lt | ast.GtE):
            return (one < other) is isinstance(op, ast.Lt)
        if isinstance(op, ast.Gt | ast.LtE):
            return (one > other) is isinstance(op, ast.Gt)
    except TypeError:
        pass
    return UNKNOWN
