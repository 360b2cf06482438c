"""Writes the ``forward`` of one module by tracing it with ``torch.fx``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from torch import nn

from chattn_nas.export.source.calls import Call
from chattn_nas.export.source.forward_text import forward_text
from chattn_nas.export.source.graph import trace_graph
from chattn_nas.export.source.module_source import ModuleSource
from chattn_nas.export.source.refusal import Refusal


def trace(
    module: nn.Module,
    call: Call,
    calls: Mapping[nn.Module, Call],
    *,
    lists: bool = False,
    changing: Collection[nn.Module] = (),
) -> ModuleSource:
    """Write the source of ``module``, traced in training and in evaluation mode.

    Args:
        module: The module to trace.
        call: How it is called.
        calls: How its children are called.
        lists: Whether it may be called with a list, tuple or dict, or call its children with one; the source is then
            valid for this length only.
        changing: Modules that change a list among their arguments.

    Raises:
        Refusal: It cannot be traced, or differs in training by more than a ``training`` flag.
    """
    if call.varies:
        raise Refusal("it is called in several ways, or with *args")
    if call.changes:
        raise Refusal("it changes a list that it is called with")
    listed = sorted(name for name, structure in call.structures.items() if structure and structure[0] != "tuple")
    if listed and not lists:
        raise Refusal(f"it is called with a list ({', '.join(listed)})")
    modes = {name: child.training for name, child in module.named_modules()}
    try:
        written = []
        for mode in (True, False):
            module.train(mode)
            written.append(forward_text(module, trace_graph(module, call, calls), call, lists=lists, changing=changing))
    finally:
        for name, child in module.named_modules():
            child.training = modes[name]
    training, evaluation = written
    if training.methods != evaluation.methods:
        raise Refusal("it computes something else in training")
    text = training.methods
    for index, (one, other) in enumerate(zip(training.placeholders, evaluation.placeholders, strict=True)):
        if one.value is True and other.value is False:
            text = text.replace(f"placeholder_{index}__", "self.training")
        elif one != other:
            raise Refusal("it computes with other constants in training")
    return replace(training, methods=text)
