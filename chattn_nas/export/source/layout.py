"""Lays generated Python out as a person (or ``ruff format``) would: double quotes, 120 columns, trailing commas."""

from __future__ import annotations

import io
import re
import tokenize

WIDTH = 120
_OPEN, _CLOSE = "([{", ")]}"


def layout(text: str) -> str:
    """``text``, one statement per line, with long statements broken at their brackets.

    Multi-line strings (docstrings) are left as they are.
    """
    kept = _lines_of_multiline_strings(text)
    done: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if number in kept or not line.strip():
            done.append(line.rstrip())
            continue
        indent = len(line) - len(line.lstrip())
        done += _fit(_tight_powers(_double_quotes(line.strip())), indent)
    return "\n".join(done) + "\n"


def number(value: float) -> str:
    """A float as a person writes it: ``1e-5``, not ``1e-05``."""
    return re.sub(r"e([+-])0*(\d)", lambda m: "e" + m[1].replace("+", "") + m[2], repr(value))


def _lines_of_multiline_strings(text: str) -> set[int]:
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING and token.start[0] != token.end[0]:
            found.update(range(token.start[0], token.end[0] + 1))
    return found


def _double_quotes(line: str) -> str:
    pieces, end = [], 0
    for token in _tokens(line):
        column = token.start[1]
        if token.type == tokenize.STRING and token.string.endswith("'") and '"' not in token.string:
            prefix, body = token.string.split("'", 1)
            if "\\" not in body and not body.startswith("''"):
                pieces += [line[end:column], prefix, '"', body[:-1], '"']
                end = token.end[1]
    return "".join(pieces) + line[end:]


def _tight_powers(line: str) -> str:
    """``x**2``, without spaces where both sides are names or numbers."""
    simple = r"[A-Za-z_][\w.]*+|\d[\w.]*+"
    return re.sub(rf"(?<![\w.\])])({simple}) \*\* (-?(?:{simple}))(?![(\[])", r"\1**\2", line)


def _tokens(line: str) -> list[tokenize.TokenInfo]:
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(line).readline):
            if token.start[0] == 1:
                found.append(token)
    except (tokenize.TokenError, IndentationError):  # half a statement, such as `head(`
        pass
    return found


def _brackets(line: str) -> list[tuple[int, int]]:
    """Start and end of every bracket pair that no other contains."""
    depth, start, pairs = 0, 0, []
    for token in _tokens(line):
        if token.type != tokenize.OP:
            continue
        if token.string in _OPEN:
            if depth == 0:
                start = token.start[1]
            depth += 1
        elif token.string in _CLOSE:
            depth -= 1
            if depth == 0:
                pairs.append((start, token.start[1]))
    return pairs


def _commas(body: str) -> list[str]:
    """``body`` cut at the commas that no bracket contains."""
    depth, last, parts = 0, 0, []
    for token in _tokens(f"({body})"):  # in brackets, so that any expression is a whole token stream
        if token.type != tokenize.OP:
            continue
        if token.string in _OPEN:
            depth += 1
        elif token.string in _CLOSE:
            depth -= 1
        elif token.string == "," and depth == 1:
            parts.append(body[last : token.start[1] - 1].strip())
            last = token.start[1]
    rest = body[last:].strip()
    return [*parts, rest] if rest else parts


def _fit(line: str, indent: int) -> list[str]:
    whole = " " * indent + line
    if len(whole) <= WIDTH or line.startswith("#"):
        return [whole]
    pairs = [(start, end) for start, end in _brackets(line) if end > start + 1]
    if not pairs:
        return [whole]
    start, end = pairs[-1]
    for candidate in reversed(pairs):  # the last bracket whose head fits on a line
        if indent + candidate[0] + 1 <= WIDTH:
            start, end = candidate
            break
    head, body, tail = line[: start + 1], line[start + 1 : end], line[end:]
    inner = indent + 4
    parts = _commas(body)
    comprehension = re.search(r"\bfor\b", body) is not None and len(parts) == 1
    if inner + len(body) <= WIDTH and not body.rstrip().endswith(","):
        middle = [" " * inner + body]
    elif len(parts) > 1 or not comprehension:
        subscript = len(parts) == 1 and line[start] in "[" and start > 0 and (line[start - 1].isalnum())
        comma = "" if subscript else ","
        middle = [text for part in parts for text in _fit(part + comma, inner)]
    else:
        middle = _fit(body, inner)
    return [" " * indent + head, *middle, *_fit(tail, indent)]
