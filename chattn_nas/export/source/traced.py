"""Writes the ``forward`` of one module by tracing it with ``torch.fx``."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from chattn_nas.export.source.forward_text import ForwardText
from chattn_nas.export.source.graph import Call, trace_graph
from chattn_nas.export.source.piece import Piece
from chattn_nas.export.source.refusal import Refusal


def trace(module: nn.Module, call: Call) -> Piece:
    """The piece of ``module``, traced in training and in evaluation mode.

    Raises:
        Refusal: It cannot be traced, or does another thing in training that is no mere ``training`` flag.
    """
    if call.varies:
        raise Refusal("it is called sometimes with and sometimes without an argument")
    if call.lists:
        raise Refusal(f"it is called with a list ({', '.join(sorted(call.lists))})")
    modes = {name: child.training for name, child in module.named_modules()}
    try:
        written = []
        for mode in (True, False):
            module.train(mode)
            written.append(ForwardText(module, trace_graph(module, call), call).write())
    finally:
        for name, child in module.named_modules():
            child.training = modes[name]
    training, evaluation = written
    if training.methods != evaluation.methods:
        raise Refusal("it computes something else in training")
    text = training.methods
    for index, (one, other) in enumerate(zip(training.holes, evaluation.holes, strict=True)):
        if one.value is True and other.value is False:
            text = text.replace(f"hole_{index}__", "self.training")
        elif one != other:
            raise Refusal("it computes with other constants in training")
    return replace(training, methods=text)
