"""Formats generated Python as ``ruff format`` would: double quotes, 120 columns, trailing commas.

Imports only the standard library, and gives the same text on every Python.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

WIDTH = 120
_OPEN, _CLOSE = "([{", ")]}"
#: From Python 3.12 on an f-string is no token of its own, but many between two of these.
_STARTS = {getattr(tokenize, name, None) for name in ("FSTRING_START", "TSTRING_START")} - {None}
_ENDS = {getattr(tokenize, name, None) for name in ("FSTRING_END", "TSTRING_END")} - {None}
_POWER = re.compile(r"(?<![\w.\])])([A-Za-z_][\w.]*+|\d[\w.]*+) (\*\*) (-?(?:[A-Za-z_][\w.]*+|\d[\w.]*+))(?![(\[])")


def layout(text: str) -> str:
    """Break the long statements of ``text`` at their brackets.

    Only statements on one line are formatted; those over several lines (docstrings, copied code) and f-strings are left
    as they are.
    """
    lines = text.splitlines()
    done: list[str] = []
    last = 0
    for statement in _statements(text):
        done += (line.rstrip() for line in lines[last : statement.first - 1])
        last = statement.last
        if statement.first != last:
            done += lines[statement.first - 1 : last]
            continue
        line = lines[last - 1]
        indent = len(line) - len(line.lstrip())
        code = _Code(line, statement.tokens).cut(indent, len(line))
        done += _fit(_tight_powers(_double_quotes(code)), indent)
    done += (line.rstrip() for line in lines[last:])
    return "\n".join(done) + "\n"


def number(value: float) -> str:
    """A float as a person writes it: ``1e-5``, not ``1e-05``."""
    return re.sub(r"e([+-])0*(\d)", lambda m: "e" + m[1].replace("+", "") + m[2], repr(value))


@dataclass(frozen=True)
class _Token:
    """A string (an f-string counts as one token), a comment or another token, with its columns."""

    kind: int
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class _Statement:
    """A statement's first and last line, from 1; with its tokens if it is on one line."""

    first: int
    last: int
    tokens: tuple[_Token, ...]


@dataclass(frozen=True)
class _Code:
    """A part of a line, and the tokens in it."""

    text: str
    tokens: tuple[_Token, ...]

    def cut(self, start: int, end: int) -> _Code:
        """From column ``start`` to before ``end``, without spaces around it."""
        text = self.text[start:end]
        start += len(text) - len(text.lstrip())
        text = text.strip()
        inside = (token for token in self.tokens if start <= token.start and token.end <= start + len(text))
        return _Code(text, tuple(_Token(t.kind, t.text, t.start - start, t.end - start) for t in inside))

    def replace(self, spans: list[tuple[int, int, str]]) -> _Code:
        """Replace the text between some columns; no span crosses the border of a token."""
        for start, end, new in reversed(spans):
            shift = len(new) - (end - start)
            tokens = []
            for token in self.tokens:
                if token.start == start and token.end == end:
                    tokens.append(_Token(token.kind, new, start, start + len(new)))
                elif token.start >= end:
                    tokens.append(_Token(token.kind, token.text, token.start + shift, token.end + shift))
                else:
                    tokens.append(token)
            self = _Code(self.text[:start] + new + self.text[end:], tuple(tokens))
        return self


def _statements(text: str) -> Iterator[_Statement]:
    lines = text.splitlines()
    tokens: list[_Token] = []
    first = depth = opened = 0
    begin = (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.INDENT, tokenize.DEDENT, tokenize.NL, tokenize.ENDMARKER):
            continue
        if token.type == tokenize.COMMENT and not first:
            continue
        first = first or token.start[0]
        if token.type == tokenize.NEWLINE:
            yield _Statement(first, token.start[0], tuple(tokens))
            tokens, first = [], 0
        elif token.type in _STARTS:
            depth += 1
            if depth == 1:
                begin = token.start
        elif token.type in _ENDS:
            depth -= 1
            if depth == 0:
                opened, column = begin
                inside = lines[opened - 1][column : token.end[1]] if opened == token.end[0] else ""
                tokens.append(_Token(tokenize.STRING, inside, column, token.end[1]))
        elif depth == 0:
            tokens.append(_Token(token.type, token.string, token.start[1], token.end[1]))


def _double_quotes(code: _Code) -> _Code:
    spans = []
    for token in code.tokens:
        if token.kind == tokenize.STRING and token.text.endswith("'") and '"' not in token.text:
            prefix, body = token.text.split("'", 1)
            if "f" not in prefix.lower() and "\\" not in body and not body.startswith("''"):
                spans.append((token.start, token.end, f'{prefix}"{body[:-1]}"'))
    return code.replace(spans)


def _tight_powers(code: _Code) -> _Code:
    """Remove the spaces in ``x**2`` if both sides are names or numbers."""
    operators = {token.start for token in code.tokens if token.text == "**"}
    spans = []
    for match in _POWER.finditer(code.text):
        if match.start(2) in operators:
            spans += [(match.end(1), match.start(2), ""), (match.end(2), match.start(3), "")]
    return code.replace(spans)


def _brackets(code: _Code) -> list[tuple[int, int]]:
    """Start and end of every bracket pair that no other contains."""
    depth, start, pairs = 0, 0, []
    for token in code.tokens:
        if token.kind != tokenize.OP:
            continue
        if token.text in _OPEN:
            if depth == 0:
                start = token.start
            depth += 1
        elif token.text in _CLOSE:
            depth -= 1
            if depth == 0:
                pairs.append((start, token.start))
    return pairs


def _at_commas(code: _Code) -> list[_Code]:
    """``code`` cut at the commas that no bracket contains."""
    depth, last, parts = 0, 0, []
    for token in code.tokens:
        if token.kind != tokenize.OP:
            continue
        if token.text in _OPEN:
            depth += 1
        elif token.text in _CLOSE:
            depth -= 1
        elif token.text == "," and depth == 0:
            parts.append(code.cut(last, token.start))
            last = token.end
    rest = code.cut(last, len(code.text))
    return [*parts, rest] if rest.text else parts


def _fit(code: _Code, indent: int, *, comma: str = "") -> list[str]:
    """Break a line to ``WIDTH`` columns, as far as it has brackets to break at; ``comma`` follows the last line."""
    whole = " " * indent + code.text + comma
    if len(whole) <= WIDTH:
        return [whole]
    pairs = [(start, end) for start, end in _brackets(code) if end > start + 1]
    if not pairs:
        return [whole]
    # the last bracket before which the text fits on a line
    start, end = next((pair for pair in reversed(pairs) if indent + pair[0] + 1 <= WIDTH), pairs[-1])
    body, tail = code.cut(start + 1, end), code.cut(end, len(code.text))
    inner = indent + 4
    parts = _at_commas(body)
    comprehension = len(parts) == 1 and any(token.text == "for" for token in body.tokens)
    if inner + len(body.text) <= WIDTH and not body.text.endswith(","):
        middle = [" " * inner + body.text]
    elif comprehension:
        middle = _fit(body, inner)
    else:
        subscript = len(parts) == 1 and code.text[start] == "[" and start > 0 and code.text[start - 1].isalnum()
        middle = [line for part in parts for line in _fit(part, inner, comma="" if subscript else ",")]
    return [" " * indent + code.text[: start + 1], *middle, *_fit(tail, indent, comma=comma)]
