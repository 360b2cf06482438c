"""The ``space`` section of a spec: which attentions each stage may take, with which settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict, GetJsonSchemaHandler, RootModel, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from chattn_nas import attention
from chattn_nas.errors import InputError
from chattn_nas.settings import Refusing, documented
from chattn_nas.space.candidate import Candidate

ALL = "all"
#: Settings that every type has.
PLACES = {
    "placement": "Where in a block it sits; the default is its authors' own place, where that is among ours.",
    "blocks": "Which blocks of the stage have it: all, the last, or every second one.",
}


class SpaceSettings(Refusing, RootModel[dict[int | str, list[Any]]]):
    """``all`` or a stage's number (from 1) to a list of attentions.

    An entry is a name (``se``: its default settings; ``se: search``: every setting worth searching) or a name with
    hyperparameters, each one value or a list of values. A stage's own list replaces ``all`` for that stage.
    """

    model_config = ConfigDict(frozen=True)
    EXAMPLE: ClassVar[str] = "{all: [none, se]}"

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        for key in data:
            if type(key) not in (int, str):  # pydantic takes 1.0 and True for the first stage
                raise ValueError(f"a stage is named by its number from 1, or {ALL!r}: {key!r} is neither")
        # In JSON, and in YAML with quotes, a stage's number is a text.
        numbered = {int(key) if re.fullmatch("[0-9]{1,9}", str(key)) else key: value for key, value in data.items()}
        if len(numbered) < len(data):
            raise ValueError("a stage has two lists, one under its number and one under the same number in quotes")
        return numbered

    def candidates(self, stages: int) -> tuple[tuple[Candidate, ...], ...]:
        """The candidates of each of that many stages.

        Raises:
            InputError: A stage that the backbone lacks, a stage without candidates, an unknown type, hyperparameter
                or value; ``where`` is the path of keys below ``space``.
        """
        for key in self.root:
            if key != ALL and key not in range(1, stages + 1):
                raise InputError(
                    f"the backbone has no stage {key!r}", where=(key,), value=key, choices=(ALL, *range(1, stages + 1))
                )
        parsed = {key: self._parse(key, entries) for key, entries in self.root.items()}
        missing = [number for number in range(1, stages + 1) if number not in parsed and ALL not in parsed]
        if missing:
            raise InputError(f"stage {missing[0]} has no list: name its number or {ALL!r}")
        return tuple(parsed.get(number, parsed.get(ALL, ())) for number in range(1, stages + 1))

    def key_of(self, stage: int) -> int | str:
        """The key whose list the stage with this number takes."""
        return stage if stage in self.root else ALL

    @staticmethod
    def _parse(key: int | str, entries: list[Any]) -> tuple[Candidate, ...]:
        if not entries:
            raise InputError("the list of attentions is empty", where=(key,))
        candidates: dict[str, Candidate] = {}
        for index, entry in enumerate(entries):
            try:
                candidate = Candidate.parse(entry)
            except InputError as error:
                raise error.at(key, index) from None
            if candidate.type in candidates:
                raise InputError(f"{candidate.type} is listed twice: join its values in one entry", where=(key, index))
            candidates[candidate.type] = candidate
        return tuple(candidates.values())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        entries = {"type": "array", "minItems": 1, "items": {"anyOf": list(_entry_schemas())}}
        return {
            "type": "object",
            "description": "Attentions per stage: 'all', or a stage's number from 1.",
            "properties": {
                ALL: {
                    "description": "What every stage may take that has no list of its own. An entry is a name, or a "
                    "name with settings, each one value or a list of values to choose from; NAME: search takes every "
                    "setting that is worth searching.",
                    "examples": [["none", "eca", {"se": {"reduction": [4, 16]}}]],
                }
            },
            "patternProperties": {f"^({ALL}|[1-9][0-9]*)$": entries},
            "additionalProperties": False,
            "minProperties": 1,
        }


def _entry_schemas() -> Iterator[Mapping[str, Any]]:
    yield {"type": "string", "enum": list(attention.names()), "description": "with its default settings"}
    yield {"type": "string", "pattern": "^timm/|:", "description": "an attention of timm, or module:Class"}
    for name in attention.names():
        kind = attention.get(name)
        said = documented(kind.cls.__doc__ or "", "Args") | PLACES
        domains = {
            **{key: domain.values for key, domain in kind.hyperparameters.items()},
            "placement": (kind.placement, *(other for other in kind.placements if other != kind.placement)),
            "blocks": (kind.blocks, *(other for other in attention.BLOCKS if other != kind.blocks)),
        }
        settings = {
            "type": "object",
            "description": f"{kind.title} ({kind.year})" if kind.year else kind.title,
            "properties": {
                key: _value_schema(values) | {"description": said.get(key, f"A setting of {name}.")}
                for key, values in domains.items()
            },
            "additionalProperties": False,
        }
        yield {
            "type": "object",
            "properties": {name: {"anyOf": [settings, {"const": "search"}, {"type": "null"}]}},
            "required": [name],
            "additionalProperties": False,
        }
    yield {"type": "object", "patternProperties": {"^timm/|:": {}}, "additionalProperties": False, "minProperties": 1}


def _value_schema(values: tuple[Any, ...]) -> dict[str, Any]:
    numbers = all(type(value) is int for value in values)
    one = {"type": "integer", "examples": list(values)} if numbers else {"enum": list(values)}
    listed = {"type": "array", "minItems": 1, "items": one}
    return {"anyOf": [one, listed], "default": values[0], "examples": [values[-1], list(values)]}
