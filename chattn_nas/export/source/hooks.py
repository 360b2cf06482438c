"""Hooks of a network's modules: their classes are copied whole, and ``build()`` registers them again."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from torch import nn

from chattn_nas.errors import ExportError
from chattn_nas.export.source.functions import path_text
from chattn_nas.export.source.inlined import Inlined
from chattn_nas.export.source.refusal import INSTEAD, Refusal


def hook_lines(network: nn.Module, inlined: Inlined) -> tuple[str, ...]:
    """Statements that register the hooks of ``network`` on the rebuilt network; none if it has no hooks.

    Args:
        network: Any tree of modules.
        inlined: Takes the classes of the hooks.

    Raises:
        ExportError: A hook cannot be copied, since it is no instance of a class without settings.
    """
    carriers: dict[tuple[str, ...], list[str]] = {}
    for path, module in network.named_modules():
        try:
            calls = tuple(
                f"register_{name}({_instance(hook, inlined)})"
                for name, hooks in (
                    ("forward_pre_hook", module._forward_pre_hooks),
                    ("forward_hook", module._forward_hooks),
                )
                for hook in hooks.values()
            )
            if calls:
                carriers.setdefault(calls, []).append(path_text(network, path, root="network"))
        except Refusal as refusal:
            raise ExportError(f"module {path!r} cannot be written as source: {refusal}; {INSTEAD}") from refusal
    lines = []
    for calls, paths in carriers.items():
        lines.append(f"for block in ({', '.join(paths)}{',' if len(paths) == 1 else ''}):")
        lines += [f"    block.{call}" for call in calls]
    return tuple(lines)


def _instance(hook: Any, inlined: Inlined) -> str:
    kind = type(hook)
    if inspect.isroutine(hook) or getattr(hook, "__dict__", None):
        raise Refusal(f"it has a hook, {getattr(hook, '__qualname__', kind.__name__)}")
    inlined.add(kind.__name__, sys.modules[kind.__module__])
    return f"{kind.__name__}()"
