"""``--where`` and ``--sort`` of the command line: a tiny language of comparisons, read without ``eval``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import pandas as pd

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError
from chattn_nas.proxy.measurement import outcome_words

_CONDITION = re.compile(r"\s*([\w.]+)\s*(<=|>=|==|!=|<|>|=|~)\s*(.+?)\s*")
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(k|M|G|x|%)?")
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
_FACTORS = {"k": 1e3, "M": 1e6, "G": 1e9}
_ALIASES = {"params": "parameters", "time": "seconds", "acc": "accuracy"}
#: Columns of which less is better, or which count from the first.
_ASCENDING = ("number", "seed", "loss", "parameters", "macs", "latency", "seconds", "rank", "peak_memory", "se")


@checked
def select(table: pd.DataFrame, where: str | None = None, sort: str | None = None) -> pd.DataFrame:
    """The rows of ``table`` for which all conditions hold, sorted best first.

    Args:
        table: Any of this room's tables.
        where: Conditions joined by ``and`` or commas, such as ``"params<1.02x and type~se"``. Operators are
            ``< <= > >= = !=`` and ``~`` (contains). A number may end in ``k``, ``M``, ``G`` or ``%``; one that ends in
            ``x`` is compared with the cost relative to the backbone without attention.
        sort: A column; accuracies descend, costs and losses ascend; ``-column`` turns the order round. Rows that lack
            the value come last.

    Raises:
        InputError: An unknown column, or a condition that cannot be read.
    """
    for condition in re.split(r"\s+and\s+|,|&", where) if where and where.strip() else ():
        table = table[_holds(table, condition)]
    if sort:
        name, turned = sort.strip().lstrip("-"), sort.strip().startswith("-")
        column = _column(table, name)
        ascending = column.removesuffix("_x") in _ASCENDING or table[column].dtype.kind not in "fiu"
        table = table.sort_values(column, ascending=ascending != turned, na_position="last", kind="stable")
    return table


def _column(table: pd.DataFrame, name: str) -> str:
    known = _ALIASES.get(name, name)
    if known in ("accuracy", "score") and known not in table.columns:
        known = table.attrs.get("metric", known)
    if known not in table.columns:
        raise InputError(f"there is no column {name!r}", value=name, choices=list(table.columns))
    return known


def _holds(table: pd.DataFrame, condition: str) -> pd.Series:
    parts = _CONDITION.fullmatch(condition)
    if parts is None:
        raise InputError(f"cannot read the condition {condition.strip()!r}: write it as 'parameters<1.02x'")
    name, sign, text = parts.groups()
    column = _column(table, name)
    text = text.strip("'\"")
    number = _NUMBER.fullmatch(text)
    if number is not None and number[2] == "x":
        column = _column(table, f"{column}_x")
    values = table[column]
    if column == "outcome":  # as it is stored, or as it is outcome_words
        stored = {outcome_words(value): value for value in values.unique()}
        text = stored.get(text, text)
    if sign == "~":
        return values.astype(str).str.contains(text, case=False, regex=False)
    if number is not None and values.dtype.kind in "fiu":
        wanted: Any = float(number[1]) * _FACTORS.get(number[2] or "", 1.0)
    elif values.dtype.kind in "fiu":
        raise InputError(f"{name} is a number, {text!r} is none")
    elif sign not in ("=", "==", "!="):
        raise InputError(f"{name} is text: compare it with = != or ~")
    else:
        wanted, values = text, values.astype(str)
    return _OPERATORS[sign](values, wanted)
