"""Rewrites the methods of one module from their own source, where ``torch.fx`` cannot follow them.

``if`` and ``and``/``or`` on settings of the module are decided now; children, tensors and the remaining settings become
constructor arguments; functions outside the class are copied along.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType
from typing import Any

from torch import nn

from chattn_nas.export.source.leaf import literal
from chattn_nas.export.source.piece import Hole, Piece, children_and_base, origin_of, own_tensors
from chattn_nas.export.source.reducer import Reducer
from chattn_nas.export.source.refusal import Refusal


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
        done = Reducer(self, function, tree, module).visit(tree)
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
            signature, _, body = self.function_text(inspect.unwrap(function), name, None).partition("\n")
            del self.functions[name]  # so that it comes after what it uses
            self.functions[name] = f'{signature}\n    """{origin_of(function)}"""\n{body}'
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
