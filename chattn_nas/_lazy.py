"""Rooms hand on their public names when they are asked for (PEP 562): importing a room imports nothing else."""

from __future__ import annotations

import atexit
import gc
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def uncollected() -> Iterator[None]:
    """Import without looking for garbage, of which there is none: it takes a fifth of the time of torch and timm."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def leave_garbage() -> None:
    """Of this process's end: else Python looks once more through all that torch made, for a second."""
    atexit.register(gc.freeze)


def hand_on(
    room: str, homes: Mapping[str, str], rooms: str = ""
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """``__all__``, ``__getattr__`` and ``__dir__`` of a room.

    Args:
        room: The room's ``__name__``.
        homes: Module, relative to the room where it begins with a dot, to the names it defines, separated by spaces.
        rooms: Packages inside it, separated by spaces, that are imported when they are asked for.
    """
    home = {name: module for module, names in homes.items() for name in names.split()}

    inside = rooms.split()

    def get(name: str) -> Any:
        if name in inside:
            with uncollected():
                return importlib.import_module(f"{room}.{name}")
        if name not in home:
            raise AttributeError(f"module {room!r} has no attribute {name!r}", name=name, obj=sys.modules[room])
        with uncollected():
            value = getattr(importlib.import_module(home[name], room), name)
        setattr(sys.modules[room], name, value)  # asked for once
        return value

    return sorted(home), get, lambda: sorted({*vars(sys.modules[room]), *home, *inside})


class _Callable(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function of the Python API that bears the room's name."""
        with uncollected():
            api = importlib.import_module("chattn_nas.api")
        return getattr(api, self.__name__.rpartition(".")[2])(*args, **kwargs)


def callable_room(room: str) -> None:
    """Let ``chattn_nas.search(spec)`` be the function of :mod:`chattn_nas.api` and ``chattn_nas.search`` the room.

    A function of that name in ``chattn_nas`` would hide the room: ``import chattn_nas.search.queue as q`` raises then.
    """
    sys.modules[room].__class__ = _Callable
