"""Copies whole classes, as they stand in their files, with the functions and constants of the file that they use."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType

from chattn_nas.export.source.format_calls import problem_on_oldest
from chattn_nas.export.source.refusal import Refusal


@dataclass
class Inlined:
    """Everything copied so far.

    Attributes:
        texts: Source by name; each comes after everything that it uses.
        imports: Import lines.
        given: Names that the file has anyway.
    """

    texts: dict[str, str] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)
    given: frozenset[str] = frozenset()
    _from: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, module: ModuleType) -> None:
        """Copy the object ``name`` of ``module`` without decorators, with everything that it uses.

        Raises:
            Refusal: It uses something from outside its file, torch and the standard library, or syntax of a newer
                Python.
        """
        if self._from.get(name) == module.__name__:
            return
        if name in self._from:
            raise Refusal(f"{self._from[name]} and {module.__name__} both define {name}")
        statement = _definitions(module).get(name)
        if statement is None:
            raise Refusal(f"{module.__name__} does not define {name}")
        self._from[name] = module.__name__
        for used in names_used(statement):
            if used != name:
                self._resolve(used, module)
        title = (module.__doc__ or "").strip().partition("\n")[0]
        note = ""
        if isinstance(statement, ast.ClassDef) and title:
            wrapped = textwrap.wrap(f"{title} (From {module.__name__}.)", 116)
            note = "".join(f"# {line}\n" for line in wrapped)
        segment = _segment(module, statement)
        if problem := problem_on_oldest(segment):
            raise Refusal(f"only a newer Python than this project's oldest reads {module.__name__}.{name}: {problem}")
        self.texts[name] = note + segment

    def copy(self) -> Inlined:
        """An independent copy, to discard if copying fails half-way."""
        return Inlined(dict(self.texts), set(self.imports), self.given, dict(self._from))

    def _resolve(self, name: str, module: ModuleType) -> None:
        if name in self.given:
            return
        if name in _definitions(module):
            self.add(name, module)
            return
        for statement in _tree(module).body:
            if isinstance(statement, ast.Import):
                for alias in statement.names:
                    if (alias.asname or alias.name.partition(".")[0]) == name:
                        _refuse_foreign(alias.name)
                        self.imports.add(f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else ""))
            elif isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    if (alias.asname or alias.name) == name:
                        self._import_from(statement.module or "", alias)

    def _import_from(self, source: str, alias: ast.alias) -> None:
        if source == "__future__":
            return
        if source.startswith("chattn_nas.") and not alias.asname:
            self.add(alias.name, importlib.import_module(source))
            return
        _refuse_foreign(source)
        self.imports.add(f"from {source} import {alias.name}" + (f" as {alias.asname}" if alias.asname else ""))


def names_used(tree: ast.AST) -> list[str]:
    """Names that ``tree`` reads, in order of appearance; decorators do not count."""
    names: dict[str, None] = {}

    class Visitor(ast.NodeVisitor):
        def visit_Name(self, node: ast.Name) -> None:
            names[node.id] = None

        def visit_ClassDef(self, node: ast.ClassDef) -> None:
            for part in (*node.bases, *node.body):
                self.visit(part)

    Visitor().visit(tree)
    return list(names)


def _refuse_foreign(package: str) -> None:
    root = package.partition(".")[0]
    if root != "torch" and root not in sys.stdlib_module_names:
        raise Refusal(f"its file imports {package}")


def _tree(module: ModuleType) -> ast.Module:
    try:
        return ast.parse(inspect.getsource(module))
    except (OSError, TypeError) as error:
        raise Refusal(f"the source of {module.__name__} is not there") from error


def _definitions(module: ModuleType) -> dict[str, ast.stmt]:
    definitions: dict[str, ast.stmt] = {}
    for statement in _tree(module).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            definitions[statement.name] = statement
        targets: Iterable[ast.expr] = ()
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = (statement.target,)
        definitions |= {target.id: statement for target in targets if isinstance(target, ast.Name)}
    return definitions


def _segment(module: ModuleType, statement: ast.stmt) -> str:
    """The lines of ``statement`` as written, comments included, decorators left out."""
    lines = inspect.getsource(module).splitlines()
    assert statement.end_lineno is not None
    return "\n".join(lines[statement.lineno - 1 : statement.end_lineno])
