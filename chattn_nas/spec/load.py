"""The YAML spec: read, composed of each room's settings class, refused with file and line where it is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from chattn_nas.errors import InputError, SpecError
from chattn_nas.settings import refusal
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
        spec = spec.model_copy(update={"data": spec.data.placed(path.parent)})
        spec.search_space()
    except InputError as error:
        if isinstance(error.__cause__, ValidationError):  # several mistakes: the one that stands first in the file
            error = refusal(Spec, error.__cause__, order=lambda where: _line(lines, where))
        raise SpecError(
            error.message, file=path, line=_line(lines, error.where), where=error.where, value=error.value,
            choices=error.choices,
        ) from None  # fmt: skip
    return spec


@contextmanager
def lines_of(path: Path | str) -> Iterator[None]:
    """Errors inside that know their place in the spec at ``path`` are raised with its file and line.

    Raises:
        SpecError: In place of such an error.
    """
    try:
        yield
    except SpecError:
        raise
    except InputError as error:
        if not error.where:
            raise
        path = Path(path)
        _, lines = _parse(path.read_text(), path)
        raise SpecError(
            error.message, file=path, line=_line(lines, error.where), where=error.where, value=error.value,
            choices=error.choices,
        ) from error  # fmt: skip


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
