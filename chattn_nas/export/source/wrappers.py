"""Our own modules around an attention, whose classes are copied whole like those of attentions."""

from __future__ import annotations

import sys
from collections.abc import Callable

from torch import nn

from chattn_nas.attention import IdentityStart
from chattn_nas.export.source.inlined import Inlined
from chattn_nas.network.stage_scope import StageSlot

_WRAPPERS = (IdentityStart, StageSlot)


def is_wrapper(module: nn.Module) -> bool:
    """Whether ``module`` is one of them."""
    return type(module) in _WRAPPERS


def referred(module: nn.Module) -> nn.Module | None:
    """The module, owned by another one, that the constructor call of ``module`` refers to."""
    return module.first if isinstance(module, StageSlot) and module.first is not module else None


def wrapper_call(module: nn.Module, build: Callable[[nn.Module], str], inlined: Inlined) -> str:
    """The call that builds ``module``, such as ``IdentityStart(SE(64), 64)``; its class is added to ``inlined``.

    Args:
        module: A wrapper.
        build: Returns the call of another module.
        inlined: Takes the source of the class.
    """
    kind = type(module)
    inlined.add(kind.__name__, sys.modules[kind.__module__])
    if isinstance(module, IdentityStart):
        return f"{kind.__name__}({build(module.module)}, {len(module.alpha)})"
    assert isinstance(module, StageSlot)
    if module.first is module:
        return f"{kind.__name__}({build(module.cell)})"
    return f"{kind.__name__}(first={build(module.first)})"
