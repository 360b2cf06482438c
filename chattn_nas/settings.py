"""The base of every room's settings class."""

from __future__ import annotations

import inspect
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import PurePath
from typing import Any, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    RootModel,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from chattn_nas.arguments import plain
from chattn_nas.credentials import redacted
from chattn_nas.errors import InputError

#: What other programs call a key of ours.
ELSEWHERE = {
    "epochs": "rungs", "lr": "learning_rate", "learning_rate_schedule": "scheduler", "bs": "batch_size",
    "batch": "batch_size", "wd": "weight_decay", "opt": "optimizer", "imgsz": "image_size", "size": "image_size",
    "resolution": "image_size", "folder": "path", "directory": "path", "labels": "label_column", "gpu": "device",
    "num_workers": "workers", "jobs": "workers", "objective": "objectives", "augmentation": "augment",
}  # fmt: skip
#: What is no key, since it is of one session and not of the run.
TYPED = {"budget": "time is given on the command line, as chattn-nas search SPEC --budget 2h"}
#: Whole numbers of a spec lie below, so that every library can hold them; others below, so that float32 can.
LARGEST, LARGEST_FLOAT = 2**31, 1e12
#: What pydantic missed, in words, by the type of its error.
KINDS = {
    "string_type": "text", "list_type": "a list", "dict_type": "a mapping", "int_type": "a whole number",
    "int_parsing": "a whole number", "int_parsing_size": "a smaller number", "int_from_float": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "bool_type": "true or false",
    "bool_parsing": "true or false",
}  # fmt: skip
#: What pydantic puts into a place where a value may be of several kinds.
_KIND = re.compile(r"str|int|float|bool|(literal|list|dict|tuple|constrained|function)[-\[].*")


class Refusing(BaseModel):
    """Base of models in which wrong values raise :class:`InputError`, whether they come from YAML or from Python."""

    def __init__(self, /, *args: Any, **fields: Any) -> None:
        if args and not issubclass(type(self), RootModel):
            raise InputError(f"{type(self).__name__} takes its keys by name, not {shown(args[0])}")
        with _refused(type(self)):
            super().__init__(*plain(args), **plain(fields))

    # Else pydantic takes __init__ for one that nested values have to go through, and loses where they stand.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Validate as pydantic does.

        Raises:
            InputError: The first wrong value; ``where`` is its path of keys.
        """
        with _refused(cls):
            return super().model_validate(plain(obj), **options)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """Like :meth:`model_validate`, from JSON."""
        with _refused(cls):
            return super().model_validate_json(json_data, **options)

    def __setattr__(self, name: str, value: Any) -> None:
        with _refused(type(self)):
            super().__setattr__(name, value)


@contextmanager
def _refused(model: type[BaseModel]) -> Iterator[None]:
    """Turn pydantic's errors inside the context into :class:`InputError`."""
    try:
        yield
    except ValidationError as error:
        raise refusal(model, error) from error
    except RecursionError:
        raise InputError("a list or a mapping cannot hold itself") from None


class Settings(Refusing):
    """A section of the spec: unknown keys are refused, values never change after loading.

    Numbers are finite and not immense, ``true`` is no number, and texts contain no zero byte, which no path may have.
    The docstring describes every key: its section ``Attributes`` says what it is, and ``In a spec`` shows an example
    with the unit as a comment. The JSON Schema is made of both.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = cls._kinds_of(info.field_name)
        if str in kinds and isinstance(value, PurePath):
            value = str(value)
        if Any in kinds:
            _check_plain(value)
        if bool not in kinds and any(kind in (int, float) or type(kind) is int for kind in kinds):
            for one in _items(value):
                if isinstance(one, bool):
                    raise ValueError("a number is needed")
        section = any(inspect.isclass(kind) and issubclass(kind, BaseModel) for kind in kinds)
        if not section and any("\0" in text for text in _texts(value)):
            raise ValueError("a text cannot hold a zero byte")
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _not_immense(cls, value: Any, info: ValidationInfo) -> Any:
        """Check every number, however it was written: YAML reads ``1e300`` as text, which is then converted."""
        if Any not in cls._kinds_of(info.field_name):
            for one in _items(value):
                most = LARGEST if isinstance(one, int) else LARGEST_FLOAT
                if isinstance(one, int | float) and abs(one) >= most:
                    raise ValueError(f"a number must be below {most:,.0f}")
        return value

    @classmethod
    def _kinds_of(cls, field: str | None) -> list[Any]:
        return list(_kinds(cls.model_fields[field].annotation if field else None))

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Make pydantic's schema, with the docstring's description of every key."""
        schema = handler(core)
        resolved = handler.resolve_ref_schema(schema)
        properties = resolved.get("properties", {})
        resolved["description"] = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
        said, shown_keys = documented(cls.__doc__ or "", "Attributes"), _in_a_spec(cls.__doc__ or "")
        for key, property in properties.items():
            example, unit = shown_keys.get(key, (None, ""))
            if key in said:
                property["description"] = said[key] + (f" Unit: {unit}." if unit else "")
            if unit:
                property["unit"] = unit
            if key in shown_keys:
                property["examples"] = [example]
            property.pop("title", None)
        return schema

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse every assignment.

        Raises:
            InputError: Settings never change; the message says how to make a changed copy.
        """
        raise InputError(f"{type(self).__name__} never changes: .changed({name}=...) gives a copy", where=(name,))

    def changed(self, **fields: Any) -> Self:
        """Return a copy with other values, which are checked like the original ones.

        Raises:
            InputError: A field is unknown, or a value is wrong.
        """
        return self.model_copy(update=fields)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Like :meth:`changed`, since pydantic's own method checks nothing."""
        if not update:
            return super().model_copy(deep=deep)
        held = {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}
        return type(self).model_validate({**held, **update})


def documented(doc: str, section: str) -> dict[str, str]:
    """The entries of a docstring's section, such as ``Attributes``, by name, each in one line."""
    entries: dict[str, str] = {}
    names: list[str] = []
    for line in _section(doc, section):
        if match := re.match(r"([*\w]+(?:, [*\w]+)*): (.*)", line):
            names = match[1].replace("*", "").split(", ")
            entries |= dict.fromkeys(names, match[2])
        else:
            entries |= {name: f"{entries[name]} {line.strip()}" for name in names}
    return {name: text.replace("``None``", "``null``").replace("``", "`") for name, text in entries.items()}


def _in_a_spec(doc: str) -> dict[str, tuple[Any, str]]:
    """Example and unit of every key: lines such as ``image_size: 64  # pixels``."""
    examples: dict[str, tuple[Any, str]] = {}
    for line in _section(doc, "In a spec"):
        written, _, unit = line.partition("  # ")
        examples |= {key: (value, unit) for key, value in yaml.safe_load(written).items()}
    return examples


def _section(doc: str, name: str) -> list[str]:
    """The lines of a section, without its own indentation."""
    lines = inspect.cleandoc(doc).splitlines()
    if f"{name}:" not in lines:
        return []
    rest = lines[lines.index(f"{name}:") + 1 :]
    inside = itertools.takewhile(lambda line: not line or line.startswith(" "), rest)
    return [line.removeprefix("    ") for line in inside if line]


def _check_plain(value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("only words, finite numbers, true, false, null, lists and mappings are possible") from None


def _kinds(annotation: Any) -> Iterator[Any]:
    """An annotation with all of its parts, including the values of a ``Literal[1, 3]``."""
    yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def _items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _texts(value: Any) -> Iterator[str]:
    """The texts in plain values, including keys of mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def refusal(
    model: type[BaseModel], error: ValidationError, order: Callable[[tuple[str | int, ...]], int] = lambda where: 0
) -> InputError:
    """Turn the most informative of pydantic's errors into one of ours; ``order`` ranks places, such as by line.

    A mistyped key says more than the key that is missing for it.
    """
    rank = {"extra_forbidden": 0, "missing": 2}
    first = min(error.errors(), key=lambda one: (rank.get(one["type"], 1), order(one["loc"])))
    place = first["loc"] if first["type"] in rank else _place(first["loc"])
    if place != first["loc"]:  # it may be of several kinds, and is of none
        met = [KINDS.get(one["type"]) or one.get("ctx", {}).get("expected") for one in error.errors()
               if _place(one["loc"]) == place]  # fmt: skip
        if len(met) > 1 and all(met):
            where, kinds = ".".join(map(str, place)), " or ".join(dict.fromkeys(map(str, met)))
            return InputError(f"{where}: should be {kinds}, not {shown(first['input'], 100)}", where=place)
    message, value, choices = _in_words(model, first | {"loc": place})
    return InputError(message, where=place, value=value, choices=choices)


def _place(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The place of a value in the spec, without pydantic's additions on the kinds of values it tried."""
    return tuple(part for part in loc if not (isinstance(part, str) and _KIND.fullmatch(part)))


def _in_words(model: type[BaseModel], error: Any) -> tuple[str, Any, tuple[str, ...]]:
    """Turn one pydantic error into a sentence, the offending value if it can be compared, and the possible values."""
    where = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        possible = tuple(_model_at(model, error["loc"][:-1]).model_fields)
        key = str(error["loc"][-1])
        if key in TYPED:
            return f"unknown key {where!r}: {TYPED[key]}", None, ()
        ours = ELSEWHERE.get(key, key)
        if ours not in possible and (homes := _homes(model, {key, ours})):
            return f"unknown key {where!r}; did you mean {' or '.join(homes)}?", None, ()
        return f"unknown key {where!r}", ours if ours in possible else key, possible
    if error["type"] == "frozen_instance":
        return f"{model.__name__} never changes: make another one", None, ()
    if error["type"] == "json_invalid":
        return f"not JSON: {error['ctx']['error']}", None, ()
    if error["type"] == "missing":
        return f"key {where!r} is missing", None, ()
    if error["type"] in ("literal_error", "enum"):
        possible = tuple(map("".join, re.findall(r"'([^']*)'|\b(\d+)\b", error["ctx"]["expected"])))
        return f"{where} cannot be {shown(error['input'])}", error["input"], possible
    if error["type"] == "invalid_key":
        return f"a key must be text, not {shown(error['input'])}", None, ()
    if error["type"] == "too_short":
        least = error["ctx"]["min_length"]
        return f"{where} needs at least {least} {'entry' if least == 1 else 'entries'}", None, ()
    if error["type"] == "string_type" and isinstance(error["input"], bool | int | float | date):
        return f"{where}: should be text, and YAML reads {error['input']} there: put it in quotes", None, ()
    message = (
        error["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ").replace("\n", " ")
    )
    single = isinstance(error["input"], str | int | float)
    if error["type"] in ("dict_type", "model_type", "mapping_type"):
        message = "should be a mapping of keys to values"
        at = _model_at(model, error["loc"])
        needed = [key for key, one in at.model_fields.items() if one.is_required()]
        if example := getattr(at, "EXAMPLE", ""):
            message += f", such as {example}"
        elif single and len(needed) == 1 and error["loc"]:
            message += f", such as {{{needed[0]}: {shown(error['input'], 100)}}}"
    elif error["type"] in ("list_type", "tuple_type") and single:
        several = isinstance(error["input"], str) and "," in error["input"]  # 1, 2 without brackets
        message = f"should be a list, such as [{error['input'] if several else shown(error['input'], 100)}]"
    elif error["type"] in KINDS:
        message = f"should be {KINDS[error['type']]}{_number_meant(error)}"
    if error["type"] == "value_error" and any(text in message for text in map(repr, _texts(error["input"]))):
        return f"{where or _called(model)}: {message}", None, ()  # it names the value already
    return f"{where or _called(model)}: {message}, not {shown(error['input'], 100)}", None, ()


def _number_meant(error: Any) -> str:
    """The number that somebody wrote otherwise: ``20%``, ``0,2``."""
    match = re.fullmatch(r"(\d+)(?:[.,](\d+))? ?(%?)", str(error["input"]))
    if match is None or error["type"] != "float_parsing":
        return ""
    return f", such as {float(f'{match[1]}.{match[2] or 0}') / (100 if match[3] else 1):g}"


def _called(model: type[BaseModel]) -> str:
    """The name of the model in errors: the spec, or a section by its class."""
    return "the spec" if model.__name__ == "Spec" else model.__name__


def _homes(model: type[BaseModel], keys: set[str]) -> list[str]:
    """The places in a spec where one of these keys is allowed."""
    sections = {name: _model_at(model, (name,)) for name in model.model_fields}
    return [f"{name}.{key}" for name, section in sections.items() if section is not model
            for key in section.model_fields if key in keys]  # fmt: skip


def shown(value: Any, most: int = 200) -> str:
    """A value, short enough for a sentence and without secrets."""
    text = redacted(str(value) if isinstance(value, date) else repr(value))
    return text if len(text) <= most else f"{text[:most]}..."


def _model_at(model: type[BaseModel], place: tuple[str | int, ...]) -> type[BaseModel]:
    """The settings class at a place in the spec."""
    for part in place:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if not (inspect.isclass(annotation) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return model
