"""Writes a network as Python source: one class per distinct block, and one expression that builds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from chattn_nas.errors import ExportError
from chattn_nas.export.source.building import Builder
from chattn_nas.export.source.definition import Definition, class_name, class_text, lifted_constants
from chattn_nas.export.source.hooks import hook_lines
from chattn_nas.export.source.parts import Parts
from chattn_nas.export.source.refusal import INSTEAD
from chattn_nas.export.source.ties import tie_lines


@dataclass(frozen=True)
class Source:
    """The parts of ``model.py`` that depend on the network: imports, classes, and the code that builds it.

    Attributes:
        imports: Import lines besides those of every file.
        definitions: Functions and classes.
        shared: Lines that build modules which several blocks use.
        expression: The expression that builds the network.
        changes: Lines that change the result, ``network``: they tie its parameters and register its hooks.
        tables: Constants, by name, that are too large for the text and in no weights file.
    """

    imports: tuple[str, ...]
    definitions: str
    shared: tuple[str, ...]
    expression: str
    changes: tuple[str, ...]
    tables: Mapping[str, torch.Tensor]


def write_source(network: nn.Module, example: torch.Tensor) -> Source:
    """Write the source of ``network``.

    Args:
        network: Any tree of modules.
        example: A batch (B, C, H, W) for it.

    Raises:
        ExportError: A module cannot be written; the message names it and says why.
    """
    parts = Parts(network, example)
    functions = _functions(parts)
    definitions = _definitions(parts, functions)
    builder = Builder(network, parts, definitions)
    expression = builder.build(network)
    changes = (*tie_lines(network), *hook_lines(network, parts.inlined))
    classes = [class_text(definition) for definition in _in_order(network, parts, definitions)]
    imports = {line for source in parts.sources.values() for line in source.imports}
    return Source(
        tuple(sorted(imports | builder.imports | parts.inlined.imports)),
        "\n\n\n".join([*parts.inlined.texts.values(), *functions.values(), *classes]),
        tuple(builder.lines),
        expression,
        changes,
        builder.tables,
    )


def _functions(parts: Parts) -> dict[str, str]:
    """Source of the functions that methods call, by name."""
    functions: dict[str, str] = {}
    for source in parts.sources.values():
        for name, text in source.functions.items():
            if functions.setdefault(name, text) != text:
                raise ExportError(f"two different functions are called {name}; {INSTEAD}")
    return functions


def _definitions(parts: Parts, functions: Mapping[str, str]) -> dict[Any, Definition]:
    """Make a class for every distinct source; constants in which its instances differ become arguments."""
    definitions: dict[Any, Definition] = {}
    for module, source in parts.sources.items():
        definitions.setdefault(source.key, Definition("", source)).members.append((module, source))
    taken: set[str] = {"nn", "F", "torch", *functions, *parts.inlined.texts}
    for definition in definitions.values():
        definition.name = class_name(definition, definitions.values(), taken)
        taken.add(definition.name)
        definition.lifted = lifted_constants(definition)
    return definitions


def _in_order(network: nn.Module, parts: Parts, definitions: Mapping[Any, Definition]) -> list[Definition]:
    """Order the classes: innermost first, the network's own class last."""
    order: list[Definition] = []

    def descend(module: nn.Module) -> None:
        for child in module.children():
            descend(child)
        if module in parts.sources:
            definition = definitions[parts.sources[module].key]
            if definition not in order:
                order.append(definition)

    descend(network)
    return order
