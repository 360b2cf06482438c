"""Rewrites the methods of one module from their own source, where ``torch.fx`` cannot follow them.

``if`` and ``and``/``or`` on settings of the module are decided now; children, tensors and the remaining settings become
constructor arguments; functions outside the class are copied along.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from chattn_nas.export.source.leaf import is_nothing, literal
from chattn_nas.export.source.piece import Hole, Piece, children_and_base, own_tensors
from chattn_nas.export.source.refusal import Refusal
from chattn_nas.export.source.traced import qualified, references

_UNKNOWN = object()
_PLAIN = (bool, int, float, str, tuple, list, dict, type(None), torch.dtype)
#: Calls whose answer is known in an exported network.
_DECIDED = {"torch.jit.is_scripting": False, "torch.jit.is_tracing": False, "is_scripting": False}


def copy_methods(module: nn.Module) -> Piece:
    """The piece of ``module``, from the source of its ``forward`` and of every method that this calls.

    Raises:
        Refusal: The source is not there, or uses what cannot be written down.
    """
    return _Copier(module).copy()


class _Copier:
    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.holes: list[Hole] = []
        self.hole_of: dict[str, int] = {}
        self.children: set[str] = set()
        self.methods: dict[str, str] = {}
        self.functions: dict[str, str] = {}
        self.imports: set[str] = set()
        self.references: dict[str, nn.Module] = {}

    def copy(self) -> Piece:
        """Start at ``forward`` and take along what it calls."""
        self.method("forward", getattr(self.module.forward, "__func__", type(self.module).forward))
        module = self.module
        children, base = children_and_base(module, self.children)
        return Piece(
            origin=type(module),
            methods="\n\n".join([self.methods.pop("forward"), *self.methods.values()]),
            holes=tuple(self.holes),
            children=children,
            tensors=own_tensors(module),
            bases=base,
            references=tuple(self.references.items()),
            functions=self.functions,
            imports=tuple(self.imports),
        )

    def method(self, name: str, function: Callable[..., Any]) -> None:
        """Take a method along under ``name``."""
        if name in self.methods:
            return
        self.methods[name] = ""
        plain = inspect.unwrap(function)
        self.methods[name] = self.function_text(plain, name, self.module)

    def function_text(self, function: Any, name: str, module: nn.Module | None) -> str:
        """Source of ``function``, reduced to what this module does."""
        if not isinstance(function, FunctionType):
            raise Refusal(f"{name} has no source")
        if function.__module__.startswith("torch."):
            raise Refusal(f"{name} is torch's own")
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        except (OSError, TypeError, SyntaxError) as error:
            raise Refusal(f"the source of {name} cannot be read") from error
        assert isinstance(tree, ast.FunctionDef)
        tree.decorator_list = []
        tree.name = name
        _strip(tree)
        done = _Reducer(self, function, tree, module).visit(tree)
        assert isinstance(done, ast.FunctionDef)
        done.body = done.body or [ast.Pass()]
        return ast.unparse(ast.fix_missing_locations(done))

    def hole(self, name: str, value: Any) -> ast.expr:
        """The placeholder of a setting."""
        literal(value)
        if name not in self.hole_of:
            self.hole_of[name] = len(self.holes)
            self.holes.append(Hole(value, name))
        return ast.Name(f"hole_{self.hole_of[name]}__", ast.Load())

    def function(self, function: FunctionType) -> str:
        """Take a module-level function along; the name it goes by."""
        name = function.__name__
        if name not in self.functions:
            self.functions[name] = ""  # for recursion
            text = self.function_text(inspect.unwrap(function), name, None)
            del self.functions[name]  # so that it comes after what it uses
            self.functions[name] = text
        return name


def _strip(tree: ast.FunctionDef) -> None:
    """Remove annotations and docstrings: their names would have to be copied too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(node.body) > 1:
                node.body = node.body[1:]
        elif isinstance(node, ast.arg):
            node.annotation = None


class _Reducer(ast.NodeTransformer):
    """Decides what the settings of one module decide, and replaces the rest by names that the generated class has."""

    def __init__(
        self, copier: _Copier, function: FunctionType, tree: ast.FunctionDef, module: nn.Module | None
    ) -> None:
        self.copier = copier
        self.globals = {**function.__globals__, **_closure(function)}
        self.module = module
        self.owner = _owner(type(module), function) if module is not None else None
        self.me = tree.args.args[0].arg if module is not None and tree.args.args else None
        stored = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        self.local = {node.id for node in stored} | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load) and self._is_me(node.value):
                raise Refusal(f"its {tree.name} changes self.{node.attr}")
            if isinstance(node, ast.FunctionDef) and node is not tree:
                self.local.add(node.name)

    def _is_me(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and self.me is not None and node.id == self.me

    # what is known now

    def value(self, node: ast.AST) -> Any:
        """The value of an expression that the settings of the module decide, or ``_UNKNOWN``."""
        if isinstance(node, ast.Constant):
            return node.value
        if self._is_me(node):
            return self.module
        if isinstance(node, ast.Name):
            return (
                _UNKNOWN if node.id in self.local else self.globals.get(node.id, getattr(builtins, node.id, _UNKNOWN))
            )
        if isinstance(node, ast.Attribute):
            if node.attr == "training":
                return _UNKNOWN
            base = self.value(node.value)
            if base is _UNKNOWN or isinstance(base, torch.Tensor):
                return _UNKNOWN
            return getattr(base, node.attr, _UNKNOWN)
        if isinstance(node, ast.Call):
            return self._call_value(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            found = self.truth(node.operand)
            return _UNKNOWN if found is None else not found
        if isinstance(node, ast.BoolOp):
            truths = [self.truth(part) for part in node.values]
            decisive = isinstance(node.op, ast.Or)
            if decisive in truths and None not in truths[: truths.index(decisive)]:
                return decisive
            return _UNKNOWN if None in truths else not decisive
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            one, other = self.value(node.left), self.value(node.comparators[0])
            if one is _UNKNOWN or other is _UNKNOWN or (isinstance(one, torch.Tensor) and other is not None):
                return _UNKNOWN
            return _compare(node.ops[0], one, other)
        return _UNKNOWN

    def _call_value(self, node: ast.Call) -> Any:
        name = ast.unparse(node.func)
        if name in _DECIDED and not node.args:
            return _DECIDED[name]
        if name in ("isinstance", "hasattr", "len", "getattr", "issubclass", "bool", "float", "int"):
            values = [self.value(argument) for argument in node.args]
            if not any(value is _UNKNOWN for value in values) and not node.keywords:
                return getattr(builtins, name)(*values)
        return _UNKNOWN

    def truth(self, node: ast.AST) -> bool | None:
        """Whether a condition holds, or None where that shows only when it runs."""
        found = self.value(node)
        if found is _UNKNOWN or isinstance(found, torch.Tensor):
            return None
        return True if isinstance(found, nn.Module) and not hasattr(found, "__len__") else bool(found)

    # what is decided now

    def visit_If(self, node: ast.If) -> Any:
        found = self.truth(node.test)
        if found is None:
            return self.generic_visit(node)
        return [done for part in (node.body if found else node.orelse) for done in _listed(self.visit(part))]

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        found = self.truth(node.test)
        return self.generic_visit(node) if found is None else self.visit(node.body if found else node.orelse)

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        neutral = isinstance(node.op, ast.And)
        node.values = [part for part in node.values if self.truth(part) is not neutral]
        if not node.values:
            return ast.Constant(neutral)
        return self.visit(node.values[0]) if len(node.values) == 1 else self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> Any:
        return None

    def visit_Expr(self, node: ast.Expr) -> Any:
        if isinstance(node.value, ast.Constant):
            return None
        if isinstance(node.value, ast.Call) and "assert" in ast.unparse(node.value.func):
            return None
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        self.generic_visit(node)
        same = len(node.targets) == 1 and ast.unparse(node.targets[0]) == ast.unparse(node.value)
        return None if same else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return None
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))

    # what is replaced

    def visit_Call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "super()":
            return self._super_call(node)
        called = self.value(node.func)
        if isinstance(called, nn.Module) and is_nothing(called) and len(node.args) == 1:
            return self.visit(node.args[0])
        known = self._call_value(node)
        if known is not _UNKNOWN and isinstance(known, bool | int | float):
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
        self.copier.method(name, parent.__dict__[node.func.attr])
        node.func = ast.Attribute(ast.Name("self", ast.Load()), name, ast.Load())
        node.args = [self.visit(argument) for argument in node.args]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        if self._is_me(node.value):
            return self._own(node)
        value = self.value(node)
        root = ast.unparse(node).partition(".")[0]
        if root == self.me and value is not _UNKNOWN:
            if isinstance(value, nn.Module | torch.Tensor):
                return self.generic_visit(node)
            if isinstance(value, _PLAIN):
                return self.copier.hole(ast.unparse(node)[len(root) + 1 :].replace(".", "_"), value)
        if value is not _UNKNOWN and root not in self.local and root != self.me:
            return self._outside(node, value)
        return self.generic_visit(node)

    def _own(self, node: ast.Attribute) -> ast.expr:
        """``self.name``: a child, a tensor, a setting or a method."""
        module, name = self.module, node.attr
        assert module is not None
        if name == "training":
            return node
        value = getattr(module, name, _UNKNOWN)
        if value is None:
            return ast.Constant(None)
        if isinstance(value, nn.Module):
            if name not in module._modules:
                raise Refusal(f"self.{name} is a module that is not registered")
            self.copier.children.add(name)
            return node
        if name in module._parameters or name in module._buffers:
            return node
        if inspect.ismethod(value) and value.__self__ is module:
            self.copier.method(name, value.__func__)
            return node
        if inspect.isfunction(value) or inspect.isbuiltin(value):
            found = self._outside(node, value)
            assert isinstance(found, ast.expr)
            return found
        if isinstance(value, tuple) and name in references(module):
            self.copier.references[name] = value[0]
            return node
        if isinstance(value, _PLAIN):
            return self.copier.hole(name, value)
        raise Refusal(f"self.{name} is a {type(value).__name__}")

    def visit_Name(self, node: ast.Name) -> Any:
        if self._is_me(node):
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
                        self.copier.imports.add(f"from {value.__module__} import {value.__name__}")
                        return ast.Name(value.__name__, ast.Load())
                    return ast.Name(self.copier.function(value), ast.Load())
        raise Refusal(f"it uses {ast.unparse(node)}, a {type(value).__name__}")

    def _module_name(self, value: ModuleType) -> str:
        known = {"torch.nn": "nn", "torch.nn.functional": "F"}.get(value.__name__)
        if known or value.__name__.partition(".")[0] == "torch":
            return known or value.__name__
        if value.__name__.partition(".")[0] not in sys.stdlib_module_names:
            raise Refusal(f"it uses the module {value.__name__}")
        if value.__name__ != "math":
            self.copier.imports.add(f"import {value.__name__}")
        return value.__name__


def _listed(found: Any) -> list[Any]:
    return [] if found is None else found if isinstance(found, list) else [found]


def _closure(function: FunctionType) -> dict[str, Any]:
    return dict(inspect.getclosurevars(function).nonlocals)


def _owner(kind: type, function: FunctionType) -> type | None:
    """The class of the MRO in whose body ``function`` stands."""
    for cls in kind.__mro__:
        for value in cls.__dict__.values():
            if isinstance(value, FunctionType) and inspect.unwrap(value) is function:
                return cls
    return None


def _class_path(cls: type) -> str:
    if getattr(nn, cls.__name__, None) is cls:
        return f"nn.{cls.__name__}"
    return f"torch.{cls.__name__}" if getattr(torch, cls.__name__, None) is cls else f"{cls.__module__}.{cls.__name__}"


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
    return _UNKNOWN
