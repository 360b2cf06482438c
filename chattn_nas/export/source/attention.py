"""Attention modules: their classes are copied whole, and their constructor calls found by building and comparing."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from chattn_nas import attention
from chattn_nas.errors import InputError
from chattn_nas.export.source.inlined import Inlined
from chattn_nas.export.source.leaf import literal
from chattn_nas.export.source.refusal import Refusal
from chattn_nas.space import StageChoice


def is_attention(module: nn.Module) -> bool:
    """Whether the class of ``module`` is registered as an attention type."""
    return any(attention.get(name).cls is type(module) for name in attention.names())


def attention_call(
    module: nn.Module, shape: torch.Size | None, choices: Iterable[StageChoice], num_classes: int, inlined: Inlined
) -> str:
    """The call that builds ``module``, such as ``SE(64, reduction=4)``; its class is added to ``inlined``.

    Args:
        module: An attention module.
        shape: Shape of the map that it was called with, (B, C, H, W).
        choices: What the architecture chose: the hyperparameters to try.
        num_classes: For types that need it.
        inlined: Takes the source of the class.

    Raises:
        Refusal: No choice builds the same module, or the class does not stand alone.
    """
    kind = type(module)
    if shape is None or len(shape) != 4:
        raise Refusal(f"{kind.__name__} is never called with a map")
    for arguments in _candidates(kind, shape, choices, num_classes):
        if _builds(kind, shape[1], arguments, module):
            attempt = inlined.copy()
            attempt.add(kind.__name__, sys.modules[kind.__module__])
            inlined.__dict__.update(attempt.__dict__)
            rest = "".join(f", {name}={literal(value)}" for name, value in arguments.items())
            return f"{kind.__name__}({shape[1]}{rest})"
    raise Refusal(f"no choice of the architecture builds this {kind.__name__}")


def _candidates(
    kind: type[nn.Module], shape: torch.Size, choices: Iterable[StageChoice], num_classes: int
) -> Iterator[dict[str, Any]]:
    """Keyword arguments to try, those at their default left out."""
    parameters = inspect.signature(kind).parameters
    extra = {"feature_size": tuple(shape[2:]), "num_classes": num_classes}
    tried: list[Mapping[str, Any]] = [c.values for c in choices if attention.get(c.type).cls is kind]
    tried += [attention.get(name).defaults for name in attention.names() if attention.get(name).cls is kind]
    for values in tried:
        known = {**values, **extra}
        yield {n: known[n] for n, p in parameters.items() if n in known and known[n] != p.default}


def _builds(kind: type[nn.Module], channels: int, arguments: Mapping[str, Any], module: nn.Module) -> bool:
    try:
        with torch.random.fork_rng(devices=[]):
            twin = kind(channels, **arguments)
    except (TypeError, ValueError, InputError):
        return False
    one, other = list(module.named_modules()), list(twin.named_modules())
    if [(name, type(part)) for name, part in one] != [(name, type(part)) for name, part in other]:
        return False
    return all(_alike(a, b) for (_, a), (_, b) in zip(one, other, strict=True))


def _alike(one: nn.Module, other: nn.Module) -> bool:
    """Same plain attributes, same shapes, and the same values in buffers that no weights file holds."""
    for tensors in ("_parameters", "_buffers"):
        mine, theirs = getattr(one, tensors), getattr(other, tensors)
        if {k: getattr(v, "shape", None) for k, v in mine.items()} != {
            k: getattr(v, "shape", None) for k, v in theirs.items()
        }:
            return False
    if one._non_persistent_buffers_set != other._non_persistent_buffers_set:
        return False
    for name in one._non_persistent_buffers_set:
        mine, theirs = one._buffers[name], other._buffers[name]
        if mine is not None and theirs is not None and not torch.equal(mine, theirs.to(mine.dtype)):
            return False
    plain = (bool, int, float, str, tuple, type(None))
    return all(
        value == other.__dict__.get(key)
        for key, value in one.__dict__.items()
        if key != "training" and not key.startswith("_") and isinstance(value, plain)
    )
