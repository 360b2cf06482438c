"""Reduces the source of a method to what one module does, with the names of its generated class."""

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

from chattn_nas.export.source.decided import Decided
from chattn_nas.export.source.functions import class_path, module_path, of_autograd, qualified
from chattn_nas.export.source.graph import references
from chattn_nas.export.source.known import UNKNOWN
from chattn_nas.export.source.leaf import CONTAINERS, is_nothing, literal
from chattn_nas.export.source.refusal import Refusal

_SETTINGS = (bool, int, float, str, tuple, list, dict, type(None), torch.dtype)


class Dependencies(Protocol):
    """Collects everything that the reduced methods of one module need.

    Attributes:
        children: Names of the children that the methods use.
        imports: Import lines.
        references: Modules that the methods use but the module does not own, by attribute.
    """

    children: set[str]
    imports: set[str]
    references: dict[str, nn.Module]

    def add_method(self, name: str, function: Callable[..., Any]) -> None:
        """Copy a method of the same module under ``name``."""

    def add_child_method(self, child: nn.Module, name: str) -> None:
        """Make the class of a descendant keep its method ``name``."""

    def add_function(self, function: FunctionType) -> str:
        """Copy a module-level function, and return its name in the output."""

    def add_class(self, cls: type) -> str:
        """Copy a class as it stands in its file, and return its name in the output."""

    def placeholder(self, name: str, value: Any) -> ast.expr:
        """Return a placeholder for a setting, in which modules of one class may differ."""


class Reducer(Decided):
    """Reduces a method so that it needs only torch, the standard library and ``dependencies``.

    Args:
        dependencies: Takes everything that the result needs.
        function, tree, module: As for :class:`Known`.
    """

    def __init__(
        self, dependencies: Dependencies, function: FunctionType, tree: ast.FunctionDef, module: nn.Module | None
    ) -> None:
        super().__init__(function, tree, module)
        self.dependencies = dependencies

    def visit_Call(self, node: ast.Call) -> Any:
        """Resolve ``super()``, skip modules that do nothing, and write known results."""
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "super()":
            return self._super_call(node, node.func.attr)
        called = self.value(node.func)
        if isinstance(called, nn.Module) and is_nothing(called) and len(node.args) == 1:
            return self.visit(node.args[0])
        known = self.call_value(node)
        if known is not UNKNOWN and isinstance(known, bool | int | float):
            return ast.Constant(known)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """Resolve an attribute of ``self``, or of something outside the function."""
        if self.is_me(node.value):
            return self._own(node)
        value = self.value(node)
        root, *path = _chain(node)
        if value is UNKNOWN or not root or root in self.local - {self.me}:
            return self.generic_visit(node)
        if root != self.me or of_autograd(value):
            return self._outside(node, value)
        if isinstance(value, _SETTINGS):
            return self.dependencies.placeholder("_".join(path), value)
        if inspect.ismethod(value) and isinstance(value.__self__, nn.Module):
            self._keep_method(value.__self__, node.attr)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> Any:
        """Resolve a name from outside the function."""
        if self.is_me(node):
            return ast.copy_location(ast.Name("self", node.ctx), node)
        if node.id in self.local or not isinstance(node.ctx, ast.Load):
            return node
        if node.id in self.globals:
            return self._outside(node, self.globals[node.id])
        if hasattr(builtins, node.id):
            return node
        raise Refusal(f"it uses {node.id}, which is nowhere defined")

    def _super_call(self, node: ast.Call, name: str) -> ast.expr:
        """Turn ``super().name(...)`` into a call of a method with the parent's body."""
        assert self.module is not None
        mro = type(self.module).__mro__
        after = mro[mro.index(self.owner) + 1 :] if self.owner in mro else mro[1:]
        parent = next((cls for cls in after if name in cls.__dict__), None)
        if parent is None or parent.__module__.startswith("torch."):
            raise Refusal(f"it calls super().{name}")
        copied = f"_{parent.__name__.lower()}_{name}"
        self.dependencies.add_method(copied, parent.__dict__[name])
        node.func = ast.Attribute(ast.Name("self", ast.Load()), copied, ast.Load())
        node.args = [self.visit(argument) for argument in node.args]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]
        return node

    def _own(self, node: ast.Attribute) -> ast.expr:
        """Resolve ``self.name``: a child, a tensor, a setting or a method."""
        module, name = self.module, node.attr
        assert module is not None
        if name == "training" or name in module._parameters or name in module._buffers:
            return node if getattr(module, name) is not None else ast.Constant(None)
        value = getattr(module, name, UNKNOWN)
        if value is None:
            return ast.Constant(None)
        if isinstance(value, nn.Module):
            if name not in module._modules:
                raise Refusal(f"self.{name} is a module that is not registered")
            self.dependencies.children.add(name)
            return node
        if inspect.ismethod(value) and value.__self__ is module:
            if not _is_containers_own(module, value.__func__):
                self.dependencies.add_method(name, value.__func__)
            return node
        if inspect.isfunction(value) or inspect.isbuiltin(value) or of_autograd(value):
            return self._outside(node, value)
        if isinstance(value, tuple) and name in references(module):
            self.dependencies.references[name] = value[0]
            return node
        if isinstance(value, _SETTINGS):
            return self.dependencies.placeholder(name, value)
        raise Refusal(f"self.{name} is a {type(value).__name__}")

    def _keep_method(self, owner: nn.Module, name: str) -> None:
        """Make the class of a descendant keep a method, unless torch's own class has it."""
        method = getattr(type(owner), name, None)
        if isinstance(method, FunctionType) and not method.__module__.startswith("torch."):
            self.dependencies.add_child_method(owner, name)

    def _outside(self, node: ast.expr, value: Any) -> ast.expr:
        """Name something from outside the class, as it is called in the output."""
        if isinstance(value, ModuleType):
            name, line = module_path(value)
            self.dependencies.imports.update([line] if line else [])
            return _parsed(name)
        if isinstance(value, _SETTINGS):
            return _parsed(literal(value))
        if isinstance(value, type) and (name := _class_name(value)):
            return _parsed(name)
        if of_autograd(value):
            return _parsed(f"{self.dependencies.add_class(value.__self__)}.{value.__name__}")
        if callable(value) and hasattr(value, "__name__"):
            return self._function(value)
        raise Refusal(f"it uses {ast.unparse(node)}, a {type(value).__name__}")

    def _function(self, function: Any) -> ast.expr:
        """Name a function of torch or the standard library, or else copy it."""
        try:
            return _parsed(qualified(function))
        except Refusal:
            if not isinstance(function, FunctionType):
                raise
        root = str(function.__module__).partition(".")[0]
        if root == "torch":
            return _parsed(f"{function.__module__}.{function.__name__}")
        if root in sys.stdlib_module_names:
            self.dependencies.imports.add(f"from {function.__module__} import {function.__name__}")
            return ast.Name(function.__name__, ast.Load())
        return ast.Name(self.dependencies.add_function(function), ast.Load())


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _chain(node: ast.expr) -> list[str]:
    """The names in ``a.b.c``; the first is empty if it begins with something else, such as a call."""
    if isinstance(node, ast.Attribute):
        return [*_chain(node.value), node.attr]
    return [node.id if isinstance(node, ast.Name) else ""]


def _class_name(cls: type) -> str:
    """The name of a class of torch or of Python itself; empty for any other."""
    if cls.__module__.partition(".")[0] == "torch":
        return class_path(cls)
    return cls.__name__ if vars(builtins).get(cls.__name__) is cls else ""


def _is_containers_own(module: nn.Module, function: Callable[..., Any]) -> bool:
    """Whether a method belongs to ``nn.Sequential`` or the like, so that the generated class inherits it."""
    return isinstance(module, CONTAINERS) and function.__module__.startswith("torch.")
