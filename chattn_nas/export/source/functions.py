"""Names of outside functions, classes and modules in generated source."""

from __future__ import annotations

import builtins
import inspect
import math
import sys
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from chattn_nas.export.source.refusal import Refusal

_PREFIXES = ((F, "F"), (torch, "torch"), (math, "math"))
_ROOMS = ("linalg", "fft", "special")  # of torch, whose functions are called such as ``linalg_norm`` in C


def qualified(function: Any) -> str:
    """The name of a function of torch, ``math`` or Python itself.

    Raises:
        Refusal: It belongs to none of them.
    """
    name = getattr(function, "__name__", "")
    for module, prefix in _PREFIXES:
        if getattr(module, name, None) is function:
            return f"{prefix}.{name}"
    for room in _ROOMS:
        inside = name.removeprefix(f"{room}_")
        if getattr(getattr(torch, room), inside, None) is function:
            return f"torch.{room}.{inside}"
    if getattr(builtins, name, None) is function:
        return str(name)
    raise Refusal(f"it calls {getattr(function, '__module__', '')}.{name}")


def parameter_names(function: Any) -> tuple[str, ...]:
    """Names of a function's parameters in order; none if its signature is unknown."""
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def of_autograd(value: Any) -> bool:
    """Whether this is the ``apply`` of somebody's own ``torch.autograd.Function``."""
    cls = getattr(value, "__self__", None)
    return inspect.isroutine(value) and isinstance(cls, type) and issubclass(cls, torch.autograd.Function)


def class_path(cls: type) -> str:
    """The name of a class of torch."""
    for module, prefix in ((nn, "nn"), (torch, "torch")):
        if getattr(module, cls.__name__, None) is cls:
            return f"{prefix}.{cls.__name__}"
    return f"{cls.__module__}.{cls.__name__}"


def module_path(module: ModuleType) -> tuple[str, str | None]:
    """The name of a module of torch or the standard library, and the line that imports it, if needed.

    Raises:
        Refusal: It belongs to neither.
    """
    name = module.__name__
    root = name.partition(".")[0]
    if root == "torch":
        return {"torch.nn": "nn", "torch.nn.functional": "F"}.get(name, name), None
    if root not in sys.stdlib_module_names:
        raise Refusal(f"it uses the module {name}")
    return name, None if name == "math" else f"import {name}"


def path_text(module: nn.Module, target: str, root: str = "self") -> str:
    """The expression for the submodule or tensor ``target`` of ``module``, whose name in the source is ``root``.

    Raises:
        Refusal: A child's name is no Python identifier.
    """
    text, owner = root, module
    for part in target.split(".") if target else ():
        if isinstance(owner, nn.ModuleDict):
            text += f"[{part!r}]"
        elif part.isdigit():
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}"
        else:
            raise Refusal(f"its child is called {part!r}, which is no Python name")
        owner = getattr(owner, part)
    return text
