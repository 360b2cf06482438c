"""The YAML spec: read, composed of each room's settings class, refused with file and line where it is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError, NewerFormatError, SpecError
from chattn_nas.settings import refusal, shown
from chattn_nas.space import NONE
from chattn_nas.space.idle import refuse_idle
from chattn_nas.spec.plugins import look_in
from chattn_nas.spec.shipped import find_spec
from chattn_nas.spec.spec import FORMAT, Spec
from chattn_nas.spec.syntax import in_words
from chattn_nas.stored import KEY, check_format

Place = tuple[str | int, ...]
#: Keys and list items of a spec; aliases within aliases can make more of a few lines than memory holds.
MOST_PLACES = 100_000
#: What YAML's own tags start with.
TAGS = "tag:yaml.org,2002:"


@checked
def load_spec(path: Path | str) -> Spec:
    """Read a spec and check all that can be checked without training.

    Checked are YAML syntax, keys, types, attentions and their settings, and, on the backbone itself, that it exists
    and that every stage can take every choice.

    Args:
        path: A file, or the name of a shipped spec, such as ``quickstart``, whose relative paths start in the working
            directory.

    Raises:
        InputError: There is no such file.
        SpecError: Anything wrong in it; ``str()`` is ``file:line: what was met, and what is possible``.
    """
    given, path = Path(path), find_spec(path)
    folder = path.parent if path == given else Path.cwd()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read the spec {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SpecError("it is not UTF-8 text: save the file as UTF-8", file=path, line=line) from None
    data, lines = _parse(text, path)
    try:
        if isinstance(data, dict) and isinstance(data.get(KEY), int):  # as in the spec that a run keeps
            _refuse_newer(data)
        spec = Spec.model_validate(data)
        look_in([folder.resolve()])
        spec = spec.model_copy(update={"data": spec.data.placed(folder)})
        if {candidate.type for stage in spec.search_space().candidates for candidate in stage} == {NONE}:
            raise InputError("the space holds nothing but 'none': there is nothing to search", where=("space",))
        try:
            refuse_idle(spec.space)
        except InputError as error:
            raise error.at("space") from None
    except InputError as error:
        if isinstance(error.__cause__, ValidationError):  # several mistakes: the one that stands first in the file
            error = refusal(Spec, error.__cause__, order=lambda where: _line(lines, where))
        raise SpecError(
            error.message, file=path, line=_line(lines, error.where), where=error.where, value=error.value,
            choices=error.choices,
        ) from None  # fmt: skip
    return spec


def _refuse_newer(data: dict[str, Any]) -> None:
    try:
        check_format(data, FORMAT, "this spec")
    except NewerFormatError as error:
        raise error.at(KEY) from None
    del data[KEY]


@contextmanager
def lines_of(path: Path | str) -> Iterator[None]:
    """Add file and line to errors inside that know their place in the spec at ``path``.

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
        path = find_spec(path)
        _, lines = _parse(path.read_text(encoding="utf-8-sig"), path)
        raise SpecError(
            error.message, file=path, line=_line(lines, error.where), where=error.where, value=error.value,
            choices=error.choices,
        ) from error  # fmt: skip


def _parse(text: str, path: Path) -> tuple[Any, dict[Place, int]]:
    """Parse YAML into plain data, and the line of every key and list item."""
    if match := re.search(r"^[ \t]*[\u00a0\u2000-\u200b\u202f\u3000]", text, re.MULTILINE):
        line = text.count("\n", 0, match.end()) + 1
        raise SpecError(
            "not YAML: a blank of another kind (such as U+00A0) stands in front of the line: indent with blanks",
            file=path,
            line=line,
        )
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(
            f"not YAML: the character {chr(error.character)!r} is not allowed", file=path, line=line
        ) from None
    try:
        root = loader.get_single_node()
        if root is None:
            raise SpecError("the spec is empty", file=path, line=1)
        places = list(islice(_places(root, (), path, loader), MOST_PLACES + 1))
        if len(places) > MOST_PLACES:
            raise SpecError(f"the spec has more than {MOST_PLACES:,} entries", file=path, line=1)
        return loader.construct_document(root), dict(places)  # type: ignore[no-untyped-call]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SpecError(f"not YAML: {in_words(error)}", file=path, line=mark.line + 1 if mark else 1) from None
    except yaml.YAMLError as error:
        raise SpecError(f"not YAML: {' '.join(str(error).split())}", file=path, line=1) from None
    except RecursionError:
        raise SpecError("the spec is nested too deeply", file=path, line=1) from None
    finally:
        loader.dispose()  # type: ignore[no-untyped-call]


def _places(
    node: yaml.Node, place: Place, path: Path, loader: yaml.SafeLoader, above: tuple[yaml.Node, ...] = ()
) -> Iterator[tuple[Place, int]]:
    line = node.start_mark.line + 1
    if any(node is other for other in above):
        raise SpecError("an alias refers to something that contains it", file=path, line=line)
    yield place, line
    if node.tag.removeprefix(TAGS) in ("binary", "omap", "pairs", "set"):
        raise SpecError(f"the tag !!{node.tag.removeprefix(TAGS)} has no meaning here", file=path, line=line)
    above = (*above, node)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _places(item, (*place, index), path, loader, above)
    elif isinstance(node, yaml.MappingNode):
        seen: set[Any] = set()
        for key, value in node.value:
            if key.tag == f"{TAGS}merge":
                yield from _places(value, place, path, loader, above)
                continue
            name = _key(key, place, path, loader)
            if name in seen:
                raise SpecError(f"key {name!r} appears twice", file=path, line=key.start_mark.line + 1)
            seen.add(name)
            yield from _places(value, (*place, name), path, loader, above)
            yield (*place, name), key.start_mark.line + 1
    else:
        _scalar(node, path, loader)


def _key(node: yaml.Node, place: Place, path: Path, loader: yaml.SafeLoader) -> Any:
    """A key as it appears in the data."""
    key = _scalar(node, path, loader) if isinstance(node, yaml.ScalarNode) else None
    if not isinstance(node, yaml.ScalarNode) or (place == ("space",) and type(key) not in (str, int)):
        met = repr(node.value) if isinstance(node, yaml.ScalarNode) else "a list or a mapping"
        line = node.start_mark.line + 1
        raise SpecError(f"a key is a word or the number of a stage, not {met[:200]}", file=path, line=line)
    return key


def _scalar(node: yaml.Node, path: Path, loader: yaml.SafeLoader) -> Any:
    line = node.start_mark.line + 1
    try:
        value = loader.construct_object(node)  # type: ignore[no-untyped-call]
    except (ValueError, OverflowError, TypeError) as error:  # a date of month 13, a number of 10,000 digits
        raise SpecError(f"{shown(node.value)} cannot be read: {error}", file=path, line=line) from None
    if isinstance(value, int | float) and re.fullmatch(r"[-+]?(0[\d_]+|.*:.*)", node.value):  # YAML 1.1: 010, 1:30
        reason = f"YAML reads {node.value} as {value}: write {value}, or put a text in quotes"
        raise SpecError(reason, file=path, line=line)
    return value


def _line(lines: dict[Place, int], where: Place) -> int:
    """The line of the deepest part of ``where`` that the file contains."""
    place: Place = ()
    for part in where:
        if (*place, part) in lines:
            place = (*place, part)
    return lines[place]
