"""How an exported network is used: how an image file becomes its input, and what its output means."""

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
        outputs: Names of the tensors that the network gives, in order, as ONNX calls them.
        gives: What the network gives for images, in words, for the card.
        answers: What ``python model.py image.png`` does, in words.
        functions: ``read_image(path) -> Tensor`` and ``answer(output, path) -> None`` in place of those in
            :mod:`~chattn_nas.export.standalone`: functions of a module, of these names. Their source is copied with
            all of their file that they use; it needs only torch, the standard library and, imported inside a function,
            Pillow. They may use the constants and functions of ``standalone`` and those of ``constants`` by name.
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
    """Source of the functions of ``model.py`` beside ``build``, and the import lines that it needs.

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
