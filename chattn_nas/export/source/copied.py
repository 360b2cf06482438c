"""Rewrites the methods of one module from their own source, where ``torch.fx`` cannot follow them.

``if``, ``and`` and ``or`` that depend only on settings of the module are resolved; children, tensors and the remaining
settings become constructor arguments; functions outside the class are copied too.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Collection
from types import FunctionType
from typing import Any

from torch import nn

from chattn_nas.export.source.format_calls import FormatCalls
from chattn_nas.export.source.inlined import Inlined
from chattn_nas.export.source.leaf import literal
from chattn_nas.export.source.module_source import (
    ModuleSource,
    Placeholder,
    children_and_base,
    origin_of,
    own_tensors,
)
from chattn_nas.export.source.reducer import Reducer
from chattn_nas.export.source.refusal import Refusal


def copy_methods(module: nn.Module, names: Collection[str] = ("forward",), *, alone: bool = False) -> ModuleSource:
    """Rewrite ``module`` from its methods ``names`` and every method that these call.

    Args:
        module: The module whose class is copied.
        names: Names of methods.
        alone: Refuse a module that calls methods of its children other than ``forward``.

    Raises:
        Refusal: The source is not available, or uses something that cannot be written down.
    """
    source = _Copier(module).copy(names)
    if alone and source.child_methods:
        raise Refusal(f"it calls {', '.join(sorted({name for _, name in source.child_methods}))} of its children")
    return source


class _Copier:
    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.placeholders: list[Placeholder] = []
        self.numbers: dict[str, int] = {}
        self.children: set[str] = set()
        self.child_methods: list[tuple[nn.Module, str]] = []
        self.methods: dict[str, str] = {}
        self.functions: dict[str, str] = {}
        self.imports: set[str] = set()
        self.references: dict[str, nn.Module] = {}

    def copy(self, names: Collection[str]) -> ModuleSource:
        """Copy the methods ``names`` and everything that they call."""
        module = self.module
        for name in names:
            self.add_method(name, getattr(getattr(module, name), "__func__", getattr(type(module), name)))
        children, base = children_and_base(module, self.children)
        first = [self.methods.pop(name) for name in names if name in self.methods]
        return ModuleSource(
            origin=type(module),
            methods="\n\n".join([*first, *self.methods.values()]),
            placeholders=tuple(self.placeholders),
            children=children,
            tensors=own_tensors(module),
            bases=base,
            references=tuple(self.references.items()),
            functions=self.functions,
            imports=tuple(self.imports),
            child_methods=tuple(self.child_methods),
        )

    def add_method(self, name: str, function: Callable[..., Any]) -> None:
        """Copy a method of the same module under ``name``."""
        if name not in self.methods:
            self.methods[name] = ""  # for recursion
            self.methods[name] = self._text(inspect.unwrap(function), name, self.module)

    def add_child_method(self, child: nn.Module, name: str) -> None:
        """Make the class of a descendant keep its method ``name``."""
        self.child_methods.append((child, name))

    def add_function(self, function: FunctionType) -> str:
        """Copy a module-level function, and return its name in the output."""
        name = function.__name__
        if name not in self.functions:
            self.functions[name] = ""  # for recursion
            signature, _, body = self._text(inspect.unwrap(function), name, None).partition("\n")
            del self.functions[name]  # so that it comes after what it uses
            self.functions[name] = f'{signature}\n    """{origin_of(function)}"""\n{body}'
        return name

    def add_class(self, cls: type) -> str:
        """Copy a class as it stands in its file, and return its name in the output."""
        inlined = Inlined()
        inlined.add(cls.__name__, sys.modules[cls.__module__])
        self.functions |= inlined.texts
        self.imports |= inlined.imports
        return cls.__name__

    def placeholder(self, name: str, value: Any) -> ast.expr:
        """Return a placeholder for a setting, in which modules of one class may differ."""
        literal(value)  # raises where it cannot be written
        if name not in self.numbers:
            self.numbers[name] = len(self.placeholders)
            self.placeholders.append(Placeholder(value, name))
        return ast.Name(f"placeholder_{self.numbers[name]}__", ast.Load())

    def _text(self, function: Any, name: str, module: nn.Module | None) -> str:
        """Source of ``function``, reduced to what this module does."""
        if not isinstance(function, FunctionType):
            raise Refusal(f"{name} has no source")
        if function.__module__.startswith("torch."):
            raise Refusal(f"{name} is torch's own")
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        except (OSError, TypeError, SyntaxError) as error:
            raise Refusal(f"the source of {name} cannot be read") from error
        if not isinstance(tree, ast.FunctionDef):
            raise Refusal(f"{name} is no plain function")
        tree.decorator_list = []
        tree.name = name
        _strip(tree)
        done = Reducer(self, function, FormatCalls().visit(tree), module).visit(tree)
        assert isinstance(done, ast.FunctionDef)
        done.body = done.body or [ast.Pass()]
        return ast.unparse(ast.fix_missing_locations(done))


def _strip(tree: ast.FunctionDef) -> None:
    """Remove annotations, type parameters and docstrings, whose names would have to be copied too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            node.type_params = []  # type: ignore[attr-defined]  # of Python 3.12; nothing reads it before
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(node.body) > 1:
                node.body = node.body[1:]
        elif isinstance(node, ast.arg):
            node.annotation = None
