"""The use of an exported network: how an image file becomes its input, and what its output means."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chattn_nas.errors import ExportError
from chattn_nas.export import several_labels, standalone
from chattn_nas.export.source.inlined import Inlined
from chattn_nas.export.source.refusal import Refusal


@dataclass(frozen=True, kw_only=True)
class Usage:
    """A task's part of an export; the default is classification.

    Attributes:
        outputs: Names of the network's output tensors, in order, as in ONNX.
        gives: The network's output for images, in words, for the card.
        answers: The effect of ``python model.py image.png``, in words.
        functions: ``read_image(path) -> Tensor`` and ``answer(output, path) -> None`` in place of those in
            :mod:`~chattn_nas.export.standalone`: functions with these names in a module. Their source is copied with
            everything that they use from their file; it may need only torch, the standard library and, imported inside
            a function, Pillow. They may use the constants and functions of ``standalone`` and ``constants`` by name.
        constants: Further constants of ``model.py``, such as a palette; plain values, names in capitals.
    """

    outputs: tuple[str, ...] = ("logits",)
    gives: str = "logits (B, classes)"
    answers: str = "prints the likeliest classes of an image"
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)


CLASSIFICATION = Usage()
SEVERAL_LABELS = Usage(answers="prints the classes that it shows", functions={"answer": several_labels.answer})


def functions_text(usage: Usage) -> tuple[str, set[str]]:
    """Source of the functions of ``model.py`` besides ``build``, with their import lines.

    Raises:
        ExportError: A function of the task cannot be copied.
    """
    given = frozenset({*standalone.CONSTANTS, *standalone.FUNCTIONS, *usage.constants, "build"})
    inlined = Inlined(given=given)
    for name in standalone.FUNCTIONS:
        function = usage.functions.get(name, getattr(standalone, name))
        try:
            inlined.add(name, sys.modules[function.__module__])
        except Refusal as refusal:
            raise ExportError(f"{name} of {function.__module__} cannot be written as source: {refusal}") from refusal
    text = "\n\n\n".join(inlined.texts.values())
    return text, set(inlined.imports)
