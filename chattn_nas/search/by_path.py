"""Samplers and pruners of others: ``module:Class``, or ``optunahub:NAME`` from the OptunaHub registry."""

from __future__ import annotations

import inspect
from typing import Any

from chattn_nas.errors import InputError, MissingExtraError, first_line
from chattn_nas.parts import HUB, load_object


def made_by_path(path: str, kind: Any, **offered: Any) -> Any:
    """Make the sampler or pruner that a spec names by its path.

    Args:
        path: ``module:name`` of a class, or of a function that makes one; ``optunahub:NAME`` of a package in
            https://hub.optuna.org, as its page names it (``samplers/`` or ``pruners/`` before it may be left out).
        kind: Optuna's ``BaseSampler`` or ``BasePruner``, whichever is wanted.
        offered: Arguments that are passed if it takes one of that name, such as ``seed`` and ``space``.

    Raises:
        InputError: It cannot be imported or made, or is something else; ``where`` is the key of the spec.
        MissingExtraError: The package of OptunaHub is not installed.
    """
    key = kind.__name__.removeprefix("Base").lower()
    try:
        make = (
            _from_hub(path.removeprefix(HUB), kind, key)
            if path.startswith(HUB)
            else load_object(path, f"a {key}", (key,))
        )
        taken = inspect.signature(make).parameters
        made = make(**{one: value for one, value in offered.items() if one in taken})
    except InputError:
        raise
    except Exception as error:  # somebody else's code, or a server that is away
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{key} {path!r} cannot be made: {reason}", where=(key,)) from error
    if not isinstance(made, kind):
        raise InputError(
            f"{key} {path!r} is a {type(made).__name__}, and none of Optuna's {key}s ({kind.__name__})", where=(key,)
        )
    return made


def _from_hub(name: str, kind: Any, key: str) -> Any:
    """Load the class of an OptunaHub package; the library fetches it once and caches it."""
    try:
        import optunahub
    except ImportError:
        raise MissingExtraError(
            f'{key} {HUB}{name} needs OptunaHub: pip install "chattn-nas[optunahub]"', where=(key,)
        ) from None
    module = optunahub.load_module(name if "/" in name else f"{key}s/{name}")
    classes = [
        one
        for attribute in getattr(module, "__all__", dir(module))
        if inspect.isclass(one := getattr(module, attribute, None)) and issubclass(one, kind) and one is not kind
        and not one.__module__.startswith("optuna.")
    ]  # fmt: skip
    if not classes:
        raise InputError(f"the package {name!r} of OptunaHub holds no {key}", where=(key,))
    return classes[0]
