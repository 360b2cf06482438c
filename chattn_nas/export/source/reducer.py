"""Reduces the source of a method to what one module does, in names that its generated class has."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, Protocol

import torch
from torch import nn

from chattn_nas.export.source.forward_text import qualified
from chattn_nas.export.source.graph import references
from chattn_nas.export.source.known import UNKNOWN, Known
from chattn_nas.export.source.leaf import CONTAINERS, is_nothing, literal
from chattn_nas.export.source.refusal import Refusal

_PLAIN = (bool, int, float, str, tuple, list, dict, type(None), torch.dtype)


class Luggage(Protocol):
    """Collects what the reduced methods of one module need."""

    children: set[str]
    imports: set[str]
    references: dict[str, nn.Module]

    def method(self, name: str, function: Callable[..., Any]) -> None:
        """Take a method along under ``name``."""

    def hole(self, name: str, value: Any) -> ast.expr:
        """The placeholder of a setting."""

    def function(self, function: FunctionType) -> str:
        """Take a module-level function along; the name it goes by."""


class Reducer(Known, ast.NodeTransformer):
    """Decides ``if``, ``and`` and ``or`` where the settings do, and replaces settings by placeholders.

    Args:
        luggage: Takes what the result needs.
        function, tree, module: As :class:`Known`.
    """

    def __init__(
        self, luggage: Luggage, function: FunctionType, tree: ast.FunctionDef, module: nn.Module | None
    ) -> None:
        super().__init__(function, tree, module)
        self.luggage = luggage

    # what is decided now

    def visit_If(self, node: ast.If) -> Any:
        """Keep the branch that runs."""
        found = self.truth(node.test)
        if found is None:
            return self.generic_visit(node)
        return [done for part in (node.body if found else node.orelse) for done in _listed(self.visit(part))]

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        """Keep the value that is taken."""
        found = self.truth(node.test)
        return self.generic_visit(node) if found is None else self.visit(node.body if found else node.orelse)

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        """Drop the parts that decide nothing."""
        neutral = isinstance(node.op, ast.And)
        node.values = [part for part in node.values if self.truth(part) is not neutral]
        if not node.values:
            return ast.Constant(neutral)
        return self.visit(node.values[0]) if len(node.values) == 1 else self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> Any:
        """Drop assertions."""
        return None

    def visit_Expr(self, node: ast.Expr) -> Any:
        """Drop strings and assertions in the form of a call."""
        if isinstance(node.value, ast.Constant):
            return None
        if isinstance(node.value, ast.Call) and "assert" in ast.unparse(node.value.func):
            return None
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        """Drop ``x = x``, which other reductions leave behind."""
        self.generic_visit(node)
        same = len(node.targets) == 1 and ast.unparse(node.targets[0]) == ast.unparse(node.value)
        return None if same else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        """Drop the annotation."""
        if node.value is None:
            return None
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    # what is replaced

    def visit_Call(self, node: ast.Call) -> Any:
        """Resolve ``super()``, and skip modules that do nothing."""
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "super()":
            return self._super_call(node)
        called = self.value(node.func)
        if isinstance(called, nn.Module) and is_nothing(called) and len(node.args) == 1:
            return self.visit(node.args[0])
        known = self.call_value(node)
        if known is not UNKNOWN and isinstance(known, bool | int | float):
            return ast.Constant(known)
        return self.generic_visit(node)

    def _super_call(self, node: ast.Call) -> Any:
        assert isinstance(node.func, ast.Attribute)
        assert self.module is not None
        mro = type(self.module).__mro__
        after = mro[mro.index(self.owner) + 1 :] if self.owner in mro else mro[1:]
        parent = next((cls for cls in after if node.func.attr in cls.__dict__), None)
        if parent is None or parent.__module__.startswith("torch."):
            raise Refusal(f"it calls super().{node.func.attr}")
        name = f"_{parent.__name__.lower()}_{node.func.attr}"
        self.luggage.method(name, parent.__dict__[node.func.attr])
        node.func = ast.Attribute(ast.Name("self", ast.Load()), name, ast.Load())
        node.args = [self.visit(argument) for argument in node.args]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """What hangs on ``self`` or comes from outside the function."""
        if self.is_me(node.value):
            return self._own(node)
        value = self.value(node)
        root = ast.unparse(node).partition(".")[0]
        if root == self.me and value is not UNKNOWN:
            if isinstance(value, nn.Module | torch.Tensor):
                return self.generic_visit(node)
            if isinstance(value, _PLAIN):
                return self.luggage.hole(ast.unparse(node)[len(root) + 1 :].replace(".", "_"), value)
        if value is not UNKNOWN and root not in self.local and root != self.me:
            return self._outside(node, value)
        return self.generic_visit(node)

    def _own(self, node: ast.Attribute) -> ast.expr:
        """``self.name``: a child, a tensor, a setting or a method."""
        module, name = self.module, node.attr
        assert module is not None
        if name == "training":
            return node
        value = getattr(module, name, UNKNOWN)
        if value is None:
            return ast.Constant(None)
        if isinstance(value, nn.Module):
            if name not in module._modules:
                raise Refusal(f"self.{name} is a module that is not registered")
            self.luggage.children.add(name)
            return node
        if name in module._parameters or name in module._buffers:
            return node
        if inspect.ismethod(value) and value.__self__ is module:
            if not (isinstance(module, CONTAINERS) and value.__func__.__module__.startswith("torch.")):
                self.luggage.method(name, value.__func__)
            return node
        if inspect.isfunction(value) or inspect.isbuiltin(value):
            found = self._outside(node, value)
            assert isinstance(found, ast.expr)
            return found
        if isinstance(value, tuple) and name in references(module):
            self.luggage.references[name] = value[0]
            return node
        if isinstance(value, _PLAIN):
            return self.luggage.hole(name, value)
        raise Refusal(f"self.{name} is a {type(value).__name__}")

    def visit_Name(self, node: ast.Name) -> Any:
        """What comes from outside the function."""
        if self.is_me(node):
            return ast.copy_location(ast.Name("self", node.ctx), node)
        if node.id in self.local or not isinstance(node.ctx, ast.Load):
            return node
        if node.id not in self.globals:
            if hasattr(builtins, node.id):
                return node
            raise Refusal(f"it uses {node.id}, which is nowhere defined")
        return self._outside(node, self.globals[node.id])

    def _outside(self, node: ast.expr, value: Any) -> ast.expr:
        """Something from outside the class."""
        if isinstance(value, ModuleType):
            return ast.parse(self._module_name(value), mode="eval").body
        if isinstance(value, _PLAIN):
            return ast.parse(literal(value), mode="eval").body
        if isinstance(value, type):
            if value.__module__.startswith("torch"):
                return ast.parse(_class_path(value), mode="eval").body
            name = value.__name__
            if getattr(builtins, name, None) is value:
                return ast.Name(name, ast.Load())
        if callable(value) and hasattr(value, "__name__"):
            try:
                return ast.parse(qualified(value), mode="eval").body
            except Refusal:
                if isinstance(value, FunctionType):
                    root = value.__module__.partition(".")[0]
                    if root == "torch":
                        return ast.parse(f"{value.__module__}.{value.__name__}", mode="eval").body
                    if root in sys.stdlib_module_names:
                        self.luggage.imports.add(f"from {value.__module__} import {value.__name__}")
                        return ast.Name(value.__name__, ast.Load())
                    return ast.Name(self.luggage.function(value), ast.Load())
        raise Refusal(f"it uses {ast.unparse(node)}, a {type(value).__name__}")

    def _module_name(self, value: ModuleType) -> str:
        known = {"torch.nn": "nn", "torch.nn.functional": "F"}.get(value.__name__)
        if known or value.__name__.partition(".")[0] == "torch":
            return known or value.__name__
        if value.__name__.partition(".")[0] not in sys.stdlib_module_names:
            raise Refusal(f"it uses the module {value.__name__}")
        if value.__name__ != "math":
            self.luggage.imports.add(f"import {value.__name__}")
        return value.__name__


def _listed(found: Any) -> list[Any]:
    return [] if found is None else found if isinstance(found, list) else [found]


def _class_path(cls: type) -> str:
    if getattr(nn, cls.__name__, None) is cls:
        return f"nn.{cls.__name__}"
    return f"torch.{cls.__name__}" if getattr(torch, cls.__name__, None) is cls else f"{cls.__module__}.{cls.__name__}"
