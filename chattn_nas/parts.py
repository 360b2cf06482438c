"""The user's own parts, named as ``module:name``: imported, or refused in one sentence.

The one place where a path in a spec becomes an object. Modules are looked for where Python looks, and in the folders
that :mod:`chattn_nas.spec.plugins` adds, in every process.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Sequence
from typing import Any

from chattn_nas.errors import InputError, first_line

#: Prefixes of names that are no modules: of timm's models, and of OptunaHub's samplers and pruners.
TIMM, HUB = ("hf_hub:", "hf-hub:", "local-dir:"), "optunahub:"
#: Error classes that own parts are refused by; a room has its own.
Refusal = type[InputError]


def is_path(name: str) -> bool:
    """Whether a name in a spec has the form ``module:name``."""
    return ":" in name and not name.startswith((*TIMM, HUB))


def refuse_file(
    module: str, where: tuple[str | int, ...], refusal: Refusal = InputError, behind: str = ""
) -> None:  # fmt: skip
    """Refuse the path of a file in place of a module.

    Raises:
        InputError: It is the path of a file; the message names the module.
    """
    if module.endswith(".py") or "/" in module or "\\" in module:
        name = re.split(r"[/\\]", module.removesuffix(".py"))[-1]
        raise refusal(
            f"{module + behind!r} names a file where a module belongs: write {name + behind!r}; modules are looked for "
            "in the spec's folder, and where Python does",
            where=where,
        )


def load_object(
    path: str, what: str, where: tuple[str | int, ...], *, takes: Sequence[str] | None = None,
    keywords: Sequence[str] = (), refusal: Refusal = InputError,
) -> Any:  # fmt: skip
    """Import and return the object at ``module:name``.

    Args:
        path: The text in the spec.
        what: What it is, for the error: ``an optimiser``.
        where: Its place in the spec.
        takes: Names of the positional arguments it will be called with; an object that cannot take them is refused.
            ``None`` checks nothing.
        keywords: Names of the keyword arguments it will be called with.
        refusal: The class of the error to raise.

    Raises:
        InputError: The module cannot be imported, has no such name that can be called, or cannot be called so.
    """
    module_name, _, name = path.partition(":")
    refuse_file(module_name, where, refusal, f":{name}")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # somebody else's code, perhaps a script that reads its arguments
        reason = f"{type(error).__name__}: {first_line(error)}"
        looked = "; modules are looked for in the spec's folder, and where Python does"
        missing = isinstance(error, ModuleNotFoundError) and error.name == module_name.partition(".")[0]
        raise refusal(
            f"{path!r} cannot be imported as {what} ({reason}){looked if missing else ''}", where=where
        ) from error
    part = getattr(module, name, None)
    if not callable(part):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise refusal(f"{module_name} has no {name!r} that could be {what}", where=where, value=name, choices=public)
    if takes is not None:
        _check_call(part, path, what, where, takes, keywords, refusal)
    return part


def _check_call(
    part: Any, path: str, what: str, where: tuple[str | int, ...], takes: Sequence[str], keywords: Sequence[str],
    refusal: Refusal,
) -> None:  # fmt: skip
    try:
        signature = inspect.signature(part)
    except (TypeError, ValueError):  # written in C: only the call itself tells
        return
    try:
        signature.bind(*takes, **dict.fromkeys(keywords))
    except TypeError as error:
        called = ", ".join([*takes, *(f"{name}=..." for name in keywords)])
        raise refusal(
            f"{path!r} cannot be {what}: it is called with ({called}) and takes {signature} ({error})", where=where
        ) from None
