"""The base of every room's settings class."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from chattn_nas.errors import InputError


class Refusing(BaseModel):
    """A model whose wrong values raise :class:`InputError`, whether they come from YAML or from Python."""

    def __init__(self, /, *args: Any, **fields: Any) -> None:
        try:
            super().__init__(*args, **fields)
        except ValidationError as error:
            raise refusal(type(self), error) from error

    # Else pydantic takes __init__ for one that nested values have to go through, and loses where they stand.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """As pydantic's.

        Raises:
            InputError: The first wrong value; ``where`` is its path of keys.
        """
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise refusal(cls, error) from error


class Settings(Refusing):
    """A section of the spec: unknown keys are refused, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def changed(self, **fields: Any) -> Self:
        """A copy with other values, checked like the first ones.

        Raises:
            InputError: An unknown field, or a value that it cannot take.
        """
        return type(self).model_validate({**self.model_dump(), **fields})


def refusal(
    model: type[BaseModel], error: ValidationError, order: Callable[[tuple[str | int, ...]], int] = lambda where: 0
) -> InputError:
    """Pydantic's first error as one of ours; ``order`` ranks places, such as by their line in a file."""
    first = min(error.errors(), key=lambda one: order(one["loc"]))
    message, value, choices = _in_words(model, first)
    return InputError(message, where=first["loc"], value=value, choices=choices)


def _in_words(model: type[BaseModel], error: Any) -> tuple[str, Any, tuple[str, ...]]:
    """One pydantic error as a sentence, the offending value where it can be compared, and what would be possible."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        possible = tuple(_model_at(model, error["loc"][:-1]).model_fields)
        return f"unknown key {where!r}", error["loc"][-1], possible
    if error["type"] == "missing":
        return f"key {where!r} is missing", None, ()
    if error["type"] in ("literal_error", "enum"):
        possible = tuple(re.findall(r"'([^']*)'", error["ctx"]["expected"]))
        return f"{where} cannot be {error['input']!r}", error["input"], possible
    if error["type"] == "too_short":
        return f"{where} needs at least {error['ctx']['min_length']} entry", None, ()
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{where or 'the spec'}: {message}, not {error['input']!r}", None, ()


def _model_at(model: type[BaseModel], place: tuple[str | int, ...]) -> type[BaseModel]:
    """The settings class at a place in the spec."""
    for part in place:
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if not (inspect.isclass(annotation) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return model
