"""Attention modules: their classes are copied whole, and built by the same calls as the originals."""

from __future__ import annotations

import inspect
import sys

import torch
from torch import nn

from chattn_nas import attention
from chattn_nas.attention import Built
from chattn_nas.errors import InputError
from chattn_nas.export.source.inlined import Inlined
from chattn_nas.export.source.leaf import literal
from chattn_nas.export.source.refusal import Refusal


def is_attention(module: nn.Module) -> bool:
    """Whether ``module`` is an instance of the class of its attention type, built through the registry."""
    built = getattr(module, "built", None)
    return isinstance(built, Built) and attention.get(built.type).cls is type(module)


def attention_call(module: nn.Module, inlined: Inlined) -> str:
    """The call that builds ``module``, such as ``SE(64, reduction=4)``; its class is added to ``inlined``.

    Raises:
        Refusal: The call builds another module, or the class does not stand alone.
    """
    kind, built = type(module), module.built
    assert isinstance(built, Built)
    parameters = inspect.signature(kind).parameters
    arguments = {
        name: value
        for name, value in built.arguments.items()
        if name not in parameters or value != parameters[name].default
    }
    try:
        with torch.random.fork_rng(devices=[]):
            twin = kind(built.channels, **arguments)
    except (TypeError, ValueError, InputError) as error:
        raise Refusal(f"{kind.__name__} cannot be built again: {error}") from error
    one, other = list(module.named_modules()), list(twin.named_modules())
    if [(name, type(part)) for name, part in one] != [(name, type(part)) for name, part in other] or not all(
        _alike(a, b) for (_, a), (_, b) in zip(one, other, strict=True)
    ):
        raise Refusal(f"this {kind.__name__} was changed after it was built")
    attempt = inlined.copy()
    attempt.add(kind.__name__, sys.modules[kind.__module__])
    inlined.__dict__.update(attempt.__dict__)
    rest = "".join(f", {name}={literal(value)}" for name, value in arguments.items())
    return f"{kind.__name__}({built.channels}{rest})"


def _alike(one: nn.Module, other: nn.Module) -> bool:
    """Whether two modules have equal plain attributes, shapes, and values in buffers that no weights file holds."""
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
