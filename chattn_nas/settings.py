"""The base of every room's settings class: the one way in which values become settings."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from chattn_nas.credentials import redacted
from chattn_nas.errors import InputError

#: Whole numbers of a spec lie below, so that every library can hold them.
LARGEST = 2**31


class Settings(BaseModel):
    """A section of the spec: unknown keys are refused, values never change after loading.

    Numbers are finite, and ``true`` is no number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _plain_finite_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[info.field_name].annotation if info.field_name else None
        kinds = list(_kinds(annotation))
        if Any in kinds:
            _check_plain(value)
        elif int in kinds or float in kinds:
            for one in value if isinstance(value, list | tuple) else [value]:
                if isinstance(one, bool) and bool not in kinds:
                    raise ValueError("a number is needed")
                if isinstance(one, int) and abs(one) >= LARGEST:
                    raise ValueError(f"a number must be below {LARGEST:,}")
        return value

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy in which some fields have other values; unlike pydantic's own, it checks them.

        Raises:
            InputError: An unknown field, or a value that the field cannot have.
        """
        if not update:
            return super().model_copy(deep=deep)
        held = {name: getattr(self, name) for name in type(self).model_fields}
        try:
            return type(self).model_validate({**held, **update})
        except ValidationError as error:
            raise refusal(error, type(self)) from None


def _check_plain(value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("only words, finite numbers, true, false, null, lists and mappings are possible") from None


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _kinds(part)


def refusal(error: ValidationError, model: type[BaseModel]) -> InputError:
    """The most telling of pydantic's complaints about a ``model``, in one sentence."""
    first = min(error.errors(), key=urgency)
    message, value, choices = in_words(first, model)
    return InputError(message, where=first["loc"], value=value, choices=choices)


def urgency(error: Mapping[str, Any]) -> int:
    """Which of pydantic's complaints to show, lowest first: a mistyped key tells more than the one that it misses."""
    return {"extra_forbidden": 0, "missing": 2}.get(error["type"], 1)


def in_words(error: Mapping[str, Any], model: type[BaseModel]) -> tuple[str, Any, tuple[str, ...]]:
    """One of pydantic's complaints as a sentence, the value met, and what would have been possible."""
    place = error["loc"]
    where = ".".join(str(part) for part in place)
    if error["type"] == "extra_forbidden":
        return f"unknown key {where!r}", place[-1], tuple(_model(model, place[:-1]).model_fields)
    if error["type"] == "missing":
        return f"key {where!r} is missing", None, ()
    if error["type"] in ("literal_error", "enum"):
        possible = tuple(re.findall(r"'([^']*)'", error["ctx"]["expected"]))
        return f"{where} cannot be {shown(error['input'])}", error["input"], possible
    if error["type"] == "too_short":
        return f"{where} needs at least {error['ctx']['min_length']} entry", None, ()
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ").replace("\n", " ")
    return f"{where or 'the spec'}: {message}, not {shown(error['input'])}", None, ()


def shown(value: Any, most: int = 200) -> str:
    """A value met, short enough for a sentence."""
    text = redacted(repr(value))
    return text if len(text) <= most else f"{text[:most]}..."


def _model(model: type[BaseModel], place: tuple[Any, ...]) -> type[BaseModel]:
    """The settings class at a place below ``model``."""
    for part in place:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if not (inspect.isclass(annotation) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return model
