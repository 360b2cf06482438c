"""Attention types for unregistered classes, ``module:Class``, whose properties are found by trial.

The class is any ``nn.Module`` whose constructor takes channels first; ``feature_size`` and ``num_classes`` are passed
if it has parameters of these names; everything else with a default may be set in a spec. Parameters and MACs are
counted on the meta device. Its requirements (a batch, a map larger than 1x1) are unknown, and equivalent values are not
merged: for that, register the class.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from torch import nn

from chattn_nas.attention.attention_type import AttentionType, Hyperparameter
from chattn_nas.attention.counted import Make, Size, counted_cost, failure
from chattn_nas.errors import InputError

#: What a constructor may ask for besides channels.
GIVEN = ("feature_size", "num_classes")
_PLAIN = (bool, int, float, str, type(None))


def describe(path: str, cls: Callable[..., nn.Module]) -> AttentionType:
    """Make the type of a class, named by its path.

    Raises:
        InputError: It is no ``nn.Module``, or its constructor does not take channels first, or needs an argument that
            is unknown here.
    """
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise InputError(f"{path!r} is neither registered (@chattn_nas.attention.register) nor a subclass of nn.Module")
    parameters = [
        p for p in inspect.signature(cls).parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    first, rest = (parameters[0], parameters[1:]) if parameters else (None, [])
    if first is None or first.kind is first.KEYWORD_ONLY or first.default is not first.empty:
        raise InputError(
            f"{path!r} is not registered (decorate it with @chattn_nas.attention.register), and cannot be raced as it "
            "is: the first argument of its constructor must be the number of channels, without a default"
        )
    needed = [p.name for p in rest if p.default is p.empty and p.name not in GIVEN]
    if needed:
        raise InputError(
            f"{path!r} cannot be searched as it is: its constructor needs {', '.join(needed)} besides channels; "
            "give defaults, or register it"
        )
    names = {p.name for p in rest}
    settings = {
        p.name: Hyperparameter(p.default, anything=True)
        for p in rest
        if p.name not in GIVEN and isinstance(p.default, _PLAIN)
    }
    makes = _Makes(cls, {name for name in GIVEN if name in names})
    return AttentionType(
        name=path,
        cls=cls,
        hyperparameters=settings,
        parameters=lambda c, size, v: makes.cost(c, size, tuple(sorted(v.items())))[0],
        macs=lambda c, size, v: makes.cost(c, size, tuple(sorted(v.items())))[1],
        problem=lambda c, size, v: makes.failure(c, size, tuple(sorted(v.items()))),
        needs_feature_size="feature_size" in names,
        needs_num_classes="num_classes" in names,
        looks_at="not told",
    )


class _Makes:
    """Finds costs and failures of a class, each once."""

    def __init__(self, cls: Callable[..., nn.Module], needs: set[str]) -> None:
        def make(channels: int, size: Size, values: Mapping[str, Any]) -> Make:
            given = {"feature_size": size, "num_classes": 10}
            return lambda: cls(channels, **{name: given[name] for name in needs}, **values)

        self.cost = cache(lambda c, size, v: counted_cost(make(c, size, dict(v)), c, size))
        self.failure = cache(lambda c, size, v: failure(make(c, size, dict(v)), c, size))
