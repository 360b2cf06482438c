"""Writes ``model.py``: a header, the classes, and functions that load and run the network."""

from __future__ import annotations

import ast
import re
import textwrap
from typing import Any

from chattn_nas.errors import ExportError
from chattn_nas.export.card import Card, Facts
from chattn_nas.export.source.layout import layout
from chattn_nas.export.source.leaf import literal
from chattn_nas.export.source.writer import Source
from chattn_nas.export.usage import Usage, functions_text

_TABLE = '''
def table(name: str) -> torch.Tensor:
    """A constant of the network, too large to be written here."""
    return tensors_of(Path(__file__).with_name("tables.pt"))[name]


'''


def model_text(source: Source, card: Card, facts: Facts, usage: Usage) -> str:
    """Write ``model.py``, formatted, without unused imports, importing only torch and the standard library.

    Raises:
        ExportError: A function of the task cannot be copied, or a part of the network has the same name.
    """
    result = [f"network = {source.expression}", *source.changes, "return network"]
    lines = [*source.shared, *(result if source.changes else [f"return {source.expression}"])]
    building = "".join(f"    {line}\n" for line in lines)
    constants: dict[str, Any] = {
        "CARD": card.name,
        "CLASS_NAMES": tuple(card.class_names),
        "IN_CHANS": facts.in_chans,
        "IMAGE_SIZE": tuple(facts.image_size),
        "MEAN": tuple(card.mean),
        "STD": tuple(card.std),
        "RESIZE": card.resize,
        "INTERPOLATION": card.interpolation,
        "BACKGROUND": card.background,
        "RANGE": card.value_range,
        **usage.constants,
    }
    functions, imports = functions_text(usage)
    own = {*constants, *_defined(functions), "build", "table"}
    if twice := sorted(own & _defined(source.definitions)):
        raise ExportError(f"a part of the network is called {twice[0]}, as a function of model.py is")
    parts = [
        "".join(f"{name} = {literal(value)}\n" for name, value in constants.items()),
        (_TABLE.lstrip() if source.tables else "") + source.definitions + "\n",
        "def build() -> nn.Module:\n"
        f'    """The network in training mode, with weights that are not trained."""\n{building}',
        functions + "\n",
        'if __name__ == "__main__":\n    main()\n',
    ]
    body = "\n\n".join(parts)
    return layout(_header(card, facts) + _imports(body, {*source.imports, *imports}) + "\n" + body)


def _defined(text: str) -> set[str]:
    """Names of the functions and classes of a file."""
    return {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def _header(card: Card, facts: Facts) -> str:
    made = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    stages = [f"    stage {number}: {text}" for number, text in enumerate(facts.attention, 1)]
    wrapped = textwrap.fill(f"{card.evidence} Written by chattn-nas on {facts.date} ({made}).", 110)
    origin = f", from {card.origin}" if card.origin else ""
    return "\n".join(
        [
            f'"""{_plain(card.name)}: {_plain(card.backbone)} with channel attention{_plain(origin)}.',
            "",
            *stages,
            "",
            _plain(wrapped),
            "Needs torch and nothing else: ``load()`` gives the trained network, ``build()`` an untrained one.",
            "Parts come from timm (https://github.com/huggingface/pytorch-image-models, Apache-2.0), as noted there.",
            '"""',
            "",
            "",
        ]
    )


def _plain(text: str) -> str:
    return text.replace("\\", "/").replace('"""', "'''")


def _imports(body: str, others: set[str]) -> str:
    """The import lines that ``body`` needs, merged and sorted as ruff sorts them."""
    lines = {"import torch", "from torch import nn", *others}
    lines |= {"import math"} if re.search(r"\bmath\.", body) else set()
    lines |= {"from torch.nn import functional as F"} if re.search(r"\bF\.", body) else set()
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    for line in lines:
        source, _, names = line.removeprefix("from ").partition(" import ")
        if line.startswith("from "):
            named.setdefault(source, set()).add(names)
        else:
            plain.add(line)
    merged = [f"from {source} import {', '.join(sorted(names, key=_rank))}" for source, names in sorted(named.items())]
    every = [*sorted(plain), *merged]
    standard = [line for line in every if line.split()[1].partition(".")[0] != "torch"]
    torchs = [line for line in every if line not in standard]
    return "\n".join(["from __future__ import annotations", "", *standard, "", *torchs, ""])


def _rank(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)
