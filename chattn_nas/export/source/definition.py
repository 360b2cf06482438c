"""A generated class: its name, its constructor, and the constants that differ between its instances."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from chattn_nas.export.source.leaf import literal
from chattn_nas.export.source.module_source import ModuleSource, Placeholder, origin_of
from chattn_nas.export.source.refusal import Refusal


@dataclass
class Definition:
    """A class of the generated module, shared by all modules of one key."""

    name: str
    source: ModuleSource
    members: list[tuple[nn.Module, ModuleSource]] = field(default_factory=list)
    lifted: dict[int, str] = field(default_factory=dict)

    def settings(self) -> dict[str, int]:
        """Constructor arguments for constants, each with a placeholder; those of torch's base are excluded."""
        known = self.members[0][0].__dict__ if self.source.base_arguments is not None else {}
        return {name: index for index, name in self.lifted.items() if name not in known}


def class_text(definition: Definition) -> str:
    """The class as source, one statement per line."""
    source = definition.source
    settings = definition.settings()
    methods = re.sub(
        r"placeholder_(\d+)__",
        lambda match: (
            f"self.{definition.lifted[int(match[1])]}"
            if int(match[1]) in definition.lifted
            else source.placeholders[int(match[1])].text
        ),
        source.methods,
    )
    lines = [f"class {definition.name}({source.bases}):", f'    """{origin_of(source.origin)}"""', ""]
    module = definition.members[0][0]
    arguments = [
        f"{name}: {'nn.Parameter' if name in module._parameters else 'torch.Tensor'}" for name in source.tensors
    ]
    children = () if is_positional(source) else source.children
    arguments += [f"{name}: nn.Module" for name in children]
    references = [name for name, _ in source.references]
    arguments += [f"{name}: nn.Module" for name in references]
    arguments += [f"{name}: {_annotation(source.placeholders[index])}" for name, index in settings.items()]
    if arguments:
        if is_positional(source):
            lines += [f"    def __init__(self, *args, {', '.join(arguments)}):", "        super().__init__(*args)"]
        elif source.base_arguments is None:
            lines += [f"    def __init__(self, {', '.join(arguments)}):", "        super().__init__()"]
        else:
            lines += [f"    def __init__(self, *args, {', '.join(arguments)}, **kwargs):"]
            lines += ["        super().__init__(*args, **kwargs)"]
        for name in source.tensors:
            if name in module._parameters:
                lines.append(f"        self.{name} = {name}")
            else:
                keep = ", persistent=False" if name in module._non_persistent_buffers_set else ""
                lines.append(f'        self.register_buffer("{name}", {name}{keep})')
        lines += [f"        self.{name} = {name}" for name in (*children, *settings)]
        lines += [
            f"        self.{name} = ({name},)  # in a tuple: registered by the block that owns it"
            for name in references
        ]
        lines.append("")
    lines += ["    " + line if line else "" for line in methods.splitlines()]
    return "\n".join(lines)


def is_positional(source: ModuleSource) -> bool:
    """Whether children are passed without names, as to ``nn.Sequential``."""
    return bool(source.children) and source.children[0].isdigit()


def class_name(definition: Definition, definitions: Iterable[Definition], taken: set[str]) -> str:
    """The original name; a second class of that name gets a suffix for its children."""
    base = definition.source.origin.__name__
    if base not in taken:
        return base
    first = next(other for other in definitions if other.source.origin.__name__ == base)
    extra = [name for name in definition.source.children if name not in first.source.children]
    missing = [name for name in first.source.children if name not in definition.source.children]
    words = [_camel(name) for name in extra] or [f"No{_camel(name)}" for name in missing]
    for wish in (words, _flags(definition, first)):
        if 0 < len(wish) <= 2 and base + "".join(wish) not in taken:
            return base + "".join(wish)
    number = 2
    while f"{base}{number}" in taken:
        number += 1
    return f"{base}{number}"


def _flags(definition: Definition, first: Definition) -> list[str]:
    """Words for the boolean settings, such as ``has_skip``, in which two classes of one origin differ."""
    mine, theirs = _settings(definition), _settings(first)
    differing = [name for name in mine if name in theirs and mine[name] is not theirs[name]]
    return [("" if mine[name] else "No") + _camel(re.sub("^(has|use|is)_", "", name)) for name in differing]


def _settings(definition: Definition) -> dict[str, bool]:
    """The boolean settings that all members share."""
    values: dict[str, set[object]] = {}
    for module, _ in definition.members:
        for name, value in module.__dict__.items():
            if not name.startswith("_") and name != "training":
                values.setdefault(name, set()).add(value if isinstance(value, bool) else None)
    return {name: bool(*distinct) for name, distinct in values.items() if distinct in ({True}, {False})}


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in re.split(r"\W|_", name))


def lifted_constants(definition: Definition) -> dict[int, str]:
    """Names of constructor arguments for the placeholders in which the members differ."""
    named: dict[tuple[Any, ...], str] = {}
    lifted: dict[int, str] = {}
    taken = {*definition.source.children, *definition.source.tensors, "self", "training"}
    for index in range(len(definition.source.placeholders)):
        texts = tuple(source.placeholders[index].text for _, source in definition.members)
        if len(set(texts)) == 1:
            continue
        if texts not in named:
            wish = definition.source.placeholders[index].name
            name = _attribute(definition, index, wish) or (wish if wish.isidentifier() else "") or "value"
            while name in taken or hasattr(nn.Module, name):
                name += "_"
            named[texts] = name
            taken.add(name)
        lifted[index] = named[texts]
    return lifted


def _attribute(definition: Definition, index: int, preferred: str) -> str:
    """The attribute that holds the constant in every member."""

    def holds(module: nn.Module, name: str, placeholder: Placeholder) -> bool:
        try:
            return name in module.__dict__ and literal(module.__dict__[name]) == placeholder.text
        except Refusal:
            return False

    members = definition.members
    names = [name for name in members[0][0].__dict__ if not name.startswith("_") and name.isidentifier()]
    fitting = [
        name for name in names if all(holds(module, name, source.placeholders[index]) for module, source in members)
    ]
    return preferred if preferred in fitting else fitting[0] if fitting else ""


def _annotation(placeholder: Placeholder) -> str:
    value = placeholder.value
    if isinstance(value, tuple) and value and len({type(item) for item in value}) == 1:
        return f"tuple[{type(value[0]).__name__}, ...]"
    if value is None:
        return "object"
    plain = (bool, int, float, str, tuple, list, dict)  # torch.fx and torch.Size have their own kinds of these
    return next((kind.__name__ for kind in plain if isinstance(value, kind)), "object")
