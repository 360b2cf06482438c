"""The YAML spec: read, composed of each room's settings class, refused with file and line where it is wrong."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from chattn_nas.errors import InputError, SpecError
from chattn_nas.spec.spec import Spec

Place = tuple[str | int, ...]


def load_spec(path: Path | str) -> Spec:
    """Read a spec and check all that can be checked without training.

    Checked are YAML syntax, keys, types, attentions and their settings, and, on the backbone itself, that it exists
    and that every stage can take every choice.

    Raises:
        InputError: There is no such file.
        SpecError: Anything wrong in it; ``str()`` is ``file:line: what was met, and what is possible``.
    """
    path = Path(path)
    try:
        text = path.read_text()
    except OSError as error:
        raise InputError(f"cannot read the spec {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"cannot read the spec {path}: it is not UTF-8 text") from None
    data, lines = _parse(text, path)
    try:
        spec = Spec.model_validate(data)
        spec.search_space()
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: _line(lines, e["loc"]))
        message, choices = _in_words(first)
        raise SpecError(
            message,
            file=path,
            line=_line(lines, first["loc"]),
            value=first["input"] if choices else None,
            choices=choices,
        ) from None
    except InputError as error:
        raise SpecError(
            error.message, file=path, line=_line(lines, error.where), where=error.where, value=error.value,
            choices=error.choices,
        ) from None  # fmt: skip
    return spec


def _parse(text: str, path: Path) -> tuple[Any, dict[Place, int]]:
    """The plain data and, for every key and list item, its line."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            raise SpecError("the spec is empty", file=path, line=1)
        lines = dict(_places(root, (), path))
        return loader.construct_document(root), lines  # type: ignore[no-untyped-call]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SpecError(f"not YAML: {error.problem}", file=path, line=mark.line + 1 if mark else 1) from None
    except yaml.YAMLError as error:
        raise SpecError(f"not YAML: {' '.join(str(error).split())}", file=path, line=1) from None
    finally:
        loader.dispose()  # type: ignore[no-untyped-call]


def _places(node: yaml.Node, place: Place, path: Path) -> Iterator[tuple[Place, int]]:
    yield place, node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _places(item, (*place, index), path)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise SpecError(f"key {key.value!r} appears twice", file=path, line=key.start_mark.line + 1)
            seen.add(key.value)
            name = int(key.value) if key.tag == "tag:yaml.org,2002:int" else key.value
            yield from _places(value, (*place, name), path)
            yield (*place, name), key.start_mark.line + 1


def _line(lines: dict[Place, int], where: Place) -> int:
    """The line of the deepest part of ``where`` that stands in the file."""
    place: Place = ()
    for part in where:
        if (*place, part) in lines:
            place = (*place, part)
    return lines[place]


def _in_words(error: Any) -> tuple[str, tuple[str, ...]]:
    """One pydantic error as a sentence, and what would have been possible."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        error["input"] = error["loc"][-1]
        return f"unknown key {where!r}", tuple(_model(error["loc"][:-1]).model_fields)
    if error["type"] == "missing":
        return f"key {where!r} is missing", ()
    if error["type"] in ("literal_error", "enum"):
        return f"{where} cannot be {error['input']!r}", tuple(re.findall(r"'([^']*)'", error["ctx"]["expected"]))
    if error["type"] == "too_short":
        return f"{where} needs at least {error['ctx']['min_length']} entry", ()
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{where or 'the spec'}: {message}, not {error['input']!r}", ()


def _model(place: Place) -> type[BaseModel]:
    """The settings class at a place in the spec."""
    model: type[BaseModel] = Spec
    for part in place:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if not (inspect.isclass(annotation) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return model
