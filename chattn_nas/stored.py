"""Records that are stored, and read by other versions of this package: plain values with a format number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from chattn_nas.errors import NewerFormatError, RunError, first_line

#: Key of the number; what was stored before there were numbers has format 1.
KEY = "format"


class Stored:
    """Base of the dataclasses that are stored.

    A new field gets a default and leaves the format as it is: older versions ignore it. If you rename a field or change
    its meaning, increase ``FORMAT`` and convert the old form in :meth:`upgraded`.
    """

    __slots__ = ()
    FORMAT: ClassVar[int] = 1
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(ser_json_inf_nan="constants", extra="ignore")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the format; :meth:`from_dict` reads them."""
        plain: dict[str, Any] = _adapter(type(self)).dump_python(self, mode="json", warnings=False)
        return {KEY: self.FORMAT, **plain}

    @classmethod
    def from_dict(cls, data: Any, what: str = "") -> Self:
        """Read what :meth:`to_dict` wrote in this or an older version; unknown fields are ignored.

        Args:
            data: Plain values.
            what: What they are, for the error.

        Raises:
            NewerFormatError: A newer version wrote them.
            RunError: They are damaged.
        """
        what = what or f"a stored {cls.__name__}"
        if not isinstance(data, Mapping):
            raise RunError(f"{what} cannot be read: it is no mapping but {type(data).__name__}")
        check_format(data, cls.FORMAT, what)
        try:
            whole = cls.upgraded(dict(data), data.get(KEY, 1))
        except (KeyError, TypeError, AttributeError, ValueError) as error:  # what an old format must hold is not there
            raise RunError(f"{what} cannot be read: {type(error).__name__}: {first_line(error)}") from None
        try:
            return _adapter(cls).validate_python(whole)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise RunError(f"{what} cannot be read: {where}: {first['msg']}") from None

    @classmethod
    def upgraded(cls, data: dict[str, Any], format: int) -> dict[str, Any]:
        """Convert the values of an older format to this one."""
        return data


def check_format(data: Mapping[str, Any], known: int, what: str) -> None:
    """Refuse a format that only a newer version of this package knows.

    Raises:
        NewerFormatError: Names both.
    """
    number = data.get(KEY, 1)
    if not isinstance(number, int) or number > known:
        raise NewerFormatError(
            f"{what} is of format {number!r}, and this version of chattn-nas reads formats up to {known}: a newer "
            "version wrote it, install that one"
        )


def renamed(data: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Rename keys: ``old="new"``."""
    return {names.get(key, key): value for key, value in data.items()}


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]
