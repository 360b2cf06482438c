"""The least spec that says whether a search would refuse a name, a backbone, a limit or a type of attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chattn_nas.errors import InputError
from chattn_nas.space import NONE
from chattn_nas.spec.draft_lines import SPACE
from chattn_nas.spec.spec import Spec


def plain(name: str, model: str, parameters: str, *, size: int = 32, types: Sequence[Any] = SPACE) -> dict[str, Any]:
    """A spec as data: digits in this size, with these types in every stage."""
    return {
        "name": name,
        "backbone": {"model": model},
        "data": {"dataset": "digits", "image_size": size},
        "space": {"all": list(types)},
        "search": {"constraints": {"parameters": f"<= {parameters}"}},
    }


def refuse(spec: dict[str, Any]) -> None:
    """Refuse what a search would refuse, with the name of the flag that asked for it.

    Raises:
        InputError: A search would refuse the spec.
    """
    flags = {"name": "--name", "backbone": "--backbone", "search": "--params"}
    try:
        Spec.model_validate(spec).search_space()
    except InputError as error:
        if error.where and (flag := flags.get(str(error.where[0]))):
            value = None if isinstance(error.value, dict) else error.value  # of the spec, which nobody wrote
            raise InputError(f"{flag}: {error.message}", value=value, choices=error.choices) from None
        raise


def possible(entry: Any, name: str, model: str, size: int, parameters: str) -> bool:
    """Whether a type can sit in every stage of this backbone: some need more than one pixel."""
    try:
        Spec.model_validate(plain(name, model, parameters, size=size, types=[NONE, entry])).search_space()
    except InputError:
        return False
    return True
