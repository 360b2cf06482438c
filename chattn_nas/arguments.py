"""Type checks of public functions: a wrong argument is refused at once, in one sentence that names it."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import numbers
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, ForwardRef, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

from chattn_nas.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")
#: What a reader calls these, one and several.
WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "True or False", NoneType: "None"}
PLURALS = {int: "whole numbers", float: "numbers", str: "texts"}
#: Modules of classes whose objects never stand in for one of ours.
_KNOWN = {"builtins", "collections", "datetime", "numpy", "optuna", "pandas", "pathlib", "PIL", "timm", "torch"}
#: Items of a list that are looked at: longer ones are data.
LOOKED_AT = 1000
_BY_FLAGS = ContextVar("_BY_FLAGS", default=False)


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: raise :class:`InputError` if an argument has none of the types in the function's signature.

    Without it, a wrong argument would surface as an ``AttributeError`` deep inside, perhaps after an hour. NumPy
    scalars are converted to Python numbers: ``np.int64(3)`` is the seed 3. Annotations whose names are imported only
    for type checkers are skipped until somebody has imported them.
    """
    signature, known = inspect.signature(function), {}
    called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        for name, given in bound.arguments.items():
            bound.arguments[name] = value = plain(given)
            if isinstance(value, str | PurePath) and "\0" in str(value):
                raise InputError(f"{called}: {name} cannot hold a zero byte, as {str(value)!r} does", where=(name,))
            if name not in known and (hint := _resolved(function, signature.parameters[name].annotation)) is not None:
                known[name] = hint
            if name not in known or fits(value, known[name]):
                continue
            bound.arguments[name] = listed = value.tolist() if hasattr(value, "tolist") else value  # an array of seeds
            if not fits(listed, known[name]):
                raise InputError(
                    f"{called}: {name} must be {' or '.join(dict.fromkeys(_words(known[name])))}, not {_shown(value)}",
                    where=(name,),
                )
        return function(*bound.args, **bound.kwargs)

    return call


def at_least(least: int, name: str, *values: int | None) -> None:
    """Check that an argument is not too small; ``None`` stands for the default.

    Raises:
        InputError: It is below ``least``.
    """
    for value in values:
        if value is not None and value < least:
            raise InputError(f"{name} must be at least {least}, not {value}", where=(name,), value=value)


@contextmanager
def by_flags() -> Iterator[None]:
    """Inside this context errors name flags of the command line, elsewhere arguments of Python functions."""
    token = _BY_FLAGS.set(True)
    try:
        yield
    finally:
        _BY_FLAGS.reset(token)


def asked_by(flag: str, argument: str) -> str:
    """Return the name to use in an error: the ``flag`` on the command line, else the Python ``argument``."""
    return flag if _BY_FLAGS.get() else argument


def plain(value: Any) -> Any:
    """Convert NumPy scalars to Python numbers, also inside lists, tuples and dicts; return anything else unchanged.

    JSON and seeds that are derived from a number would see the difference.
    """
    numpy = sys.modules.get("numpy")  # where nobody imported it, no value is one of its own
    if numpy is None:
        return value
    if isinstance(value, numpy.generic):
        return value.item()
    if type(value) in (list, tuple) and len(value) <= LOOKED_AT:
        return type(value)(map(plain, value))
    return {plain(key): plain(item) for key, item in value.items()} if type(value) is dict else value


def fits(value: Any, annotation: Any) -> bool:
    """Return whether a value, with the items of a list or tuple, has an annotated type.

    NumPy numbers count as numbers, ``True`` does not; an ``int`` is a ``float``; a ``str`` is no sequence of ``str``.
    """
    if annotation in (Any, inspect.Parameter.empty) or isinstance(annotation, str | ForwardRef | TypeVar):
        return True
    if annotation in WORDS and type(value) is annotation:  # most of all
        return True
    origin, parts = get_origin(annotation), get_args(annotation)
    if _is_union(annotation):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if annotation is None:
        return value is None
    if annotation in (int, float):
        kind = numbers.Integral if annotation is int else numbers.Real
        return isinstance(value, kind) and not isinstance(value, bool)
    kind = origin or annotation
    if not inspect.isclass(kind):
        return True
    if kind is tuple and parts and Ellipsis not in parts:
        return isinstance(value, tuple | list) and len(value) == len(parts) and all(map(fits, value, parts))
    if kind in (collections.abc.Sequence, collections.abc.Iterable, list, tuple):
        inner = next((part for part in parts if part is not Ellipsis), Any)
        if not isinstance(value, kind) or inner is Any or get_origin(inner) is Literal:  # a function tells which words
            return isinstance(value, kind)
        listed = isinstance(value, list | tuple) and len(value) <= LOOKED_AT
        return not isinstance(value, str | bytes) and (not listed or all(fits(item, inner) for item in value))
    try:
        return isinstance(value, kind) or (_is_ours(kind) and _may_stand_in(type(value)))
    except TypeError:  # a protocol that cannot be asked
        return True


def _is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == __package__


def _may_stand_in(kind: type) -> bool:
    """Whether the user's own class may stand in for one of ours, as long as it is no plain value."""
    return not _is_ours(kind) and kind.__module__.partition(".")[0] not in _KNOWN


def _resolved(function: Callable[..., Any], annotation: Any) -> Any:
    """Resolve an annotation that is a string; ``None`` if its names are not imported."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(vars(sys.modules[function.__module__])))  # written in our own source
    except NameError:
        return None


def _words(annotation: Any) -> Iterator[str]:
    if _is_union(annotation):
        for part in get_args(annotation):
            yield from _words(part)
    elif get_origin(annotation) is Literal:
        yield from map(repr, get_args(annotation))
    elif annotation in WORDS or annotation is None:
        yield WORDS[NoneType if annotation is None else annotation]
    elif (kind := get_origin(annotation) or annotation) is collections.abc.Callable:
        yield "a function"
    elif isinstance(kind, type) and issubclass(kind, Mapping):
        yield "a mapping"
    elif kind is tuple and Ellipsis not in get_args(annotation):
        yield f"a tuple ({', '.join(' or '.join(_words(part)) for part in get_args(annotation))})"
    elif kind in (collections.abc.Sequence, collections.abc.Iterable, list, tuple):
        inner = next((part for part in get_args(annotation) if part is not Ellipsis), Any)
        items = [_plural(part) for part in (get_args(inner) if _is_union(inner) else [inner])]
        yield "a list" if "" in items else f"a list of {' or '.join(items)}"
    else:
        yield f"a {kind.__name__}"


def _plural(annotation: Any) -> str:
    """The plural noun for a type in messages, empty if there is no short one."""
    if annotation in PLURALS:
        return PLURALS[annotation]
    named = inspect.isclass(annotation) and get_origin(annotation) is None and annotation is not Any
    return annotation.__name__ if named else ""


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text[:80]}{'...' * (len(text) > 80)} ({type(value).__name__})"
