"""Resolves the decisions in a method's source that depend only on the settings of its module."""

from __future__ import annotations

import ast
import logging
import warnings
from typing import Any

from chattn_nas.export.source.known import Known


class Decided(Known, ast.NodeTransformer):
    """Keeps the branches that run; drops assertions, strings, annotations and statements without effect."""

    def generic_visit(self, node: ast.AST) -> Any:
        """Visit what is inside; where no statement of a body is left, ``pass`` is."""
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def visit_If(self, node: ast.If) -> Any:
        """Keep the branch that runs."""
        holds = self.truth(node.test)
        if holds is None:
            self.generic_visit(node)
            calls = any(isinstance(part, ast.Call) for part in ast.walk(node.test))
            return None if isinstance(node.body[0], ast.Pass) and not node.orelse and not calls else node
        return [done for part in (node.body if holds else node.orelse) for done in _as_list(self.visit(part))]

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        """Keep the value that is taken."""
        holds = self.truth(node.test)
        return self.generic_visit(node) if holds is None else self.visit(node.body if holds else node.orelse)

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        """Drop the operands without influence on the result."""
        neutral = isinstance(node.op, ast.And)
        node.values = [part for part in node.values if self.truth(part) is not neutral]
        if not node.values:
            return ast.Constant(neutral)
        return self.visit(node.values[0]) if len(node.values) == 1 else self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> Any:
        """Drop assertions."""
        return None

    def visit_Expr(self, node: ast.Expr) -> Any:
        """Drop strings, and calls that assert, log or warn."""
        if isinstance(node.value, ast.Constant):
            return None
        if isinstance(node.value, ast.Call):
            called = self.value(node.value.func)
            logs = called is warnings.warn or isinstance(getattr(called, "__self__", None), logging.Logger)
            name = ast.unparse(node.value.func)
            if logs or "assert" in name or "log_api_usage" in name:
                return None
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        """Drop ``x = x``."""
        self.generic_visit(node)
        same = len(node.targets) == 1 and ast.unparse(node.targets[0]) == ast.unparse(node.value)
        return None if same else node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        """Drop the annotation."""
        if node.value is None:
            return None
        return self.visit(ast.copy_location(ast.Assign([node.target], node.value), node))


def _as_list(visited: Any) -> list[Any]:
    return [] if visited is None else visited if isinstance(visited, list) else [visited]
