"""Parts of the user's own, ``module:name``: found, or refused in one sentence."""

from __future__ import annotations

import importlib
from typing import Any

from chattn_nas.errors import InputError, first_line


def found(path: str, what: str, where: tuple[str | int, ...]) -> Any:
    """What stands at ``module:name``.

    Args:
        path: Of a spec.
        what: What it is, for the error: ``an optimiser``.
        where: Its place in the spec.

    Raises:
        InputError: The module cannot be imported, or has no such name that can be called.
    """
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # somebody else's code
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{path!r} cannot be imported as {what} ({reason})", where=where) from error
    part = getattr(module, name, None)
    if not callable(part):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(f"{module_name} has no {name!r} that could be {what}", where=where, value=name, choices=public)
    return part
