"""Rewrites f-strings as calls of ``str.format``, which every Python reads.

Before Python 3.12 an f-string could not contain its own quotes, and ``ast.unparse`` of later versions ignores that.
Imports only the standard library.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize

#: The oldest Python that reads what an export writes.
OLDEST = (3, 11)


class FormatCalls(ast.NodeTransformer):
    """Replaces every f-string: ``f"{x!r:>{width}} px"`` becomes ``"{!r:>{}} px".format(x, width)``."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        """Return the call, or a plain string if nothing is formatted."""
        arguments: list[ast.expr] = []
        template = self._template(node, arguments)
        if not arguments:
            return ast.copy_location(ast.Constant(template.format()), node)
        method = ast.Attribute(ast.Constant(template), "format", ast.Load())
        return ast.copy_location(ast.Call(method, arguments, []), node)

    def _template(self, node: ast.JoinedStr, arguments: list[ast.expr]) -> str:
        """Turn ``node`` into a template, and add its expressions to ``arguments``."""
        parts = []
        for part in node.values:
            if isinstance(part, ast.Constant):
                parts.append(str(part.value).replace("{", "{{").replace("}", "}}"))
                continue
            assert isinstance(part, ast.FormattedValue)
            arguments.append(self.visit(part.value))
            conversion = "" if part.conversion == -1 else f"!{chr(part.conversion)}"
            spec = self._template(part.format_spec, arguments) if isinstance(part.format_spec, ast.JoinedStr) else ""
            parts.append(f"{{{conversion}{':' if spec else ''}{spec}}}")
        return "".join(parts)


def problem_on_oldest(text: str) -> str:
    """Why the oldest supported Python cannot read ``text``, which this one can; empty if it can."""
    try:
        ast.parse(text, feature_version=OLDEST)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    line = _nested_quotes(text) if sys.version_info >= (3, 12) else 0
    return f"line {line}: an f-string holds its own quotes, a backslash, a comment or a line break" if line else ""


def _nested_quotes(text: str) -> int:
    """The line of the first f-string whose expressions need Python 3.12 or later; 0 if there is none."""
    quotes: list[str] = []  # of the f-strings that are open
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = tokenize.tok_name[token.type]
        around = quotes[:-1] if name == "FSTRING_MIDDLE" else quotes
        is_text = name in ("FSTRING_START", "FSTRING_MIDDLE", "STRING")
        if is_text and around and any(odd in token.string for odd in (*around, "\\")):
            return token.start[0]
        if name == "FSTRING_START":
            quotes.append(token.string.lstrip("fFrR"))
        elif name == "FSTRING_END":
            quotes.pop()
        elif quotes and (name == "COMMENT" or (name == "NL" and len(quotes[-1]) == 1)):
            return token.start[0]
    return 0
