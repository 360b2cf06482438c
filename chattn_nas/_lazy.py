"""Lazy public names (PEP 562): a room imports the module behind a name when the name is first used."""

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
    """Import without collecting garbage, of which there is none: it takes a fifth of the time of torch and timm."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def leave_garbage() -> None:
    """Skip the last garbage collection at exit: it goes through everything that torch made, for a second."""
    atexit.register(gc.freeze)


def hand_on(
    room: str, homes: Mapping[str, str], rooms: str = ""
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__all__``, ``__getattr__`` and ``__dir__`` of a room.

    Args:
        room: The room's ``__name__``.
        homes: Maps a module (relative to the room if it begins with a dot) to its names, separated by spaces.
        rooms: Packages inside it, separated by spaces, which are imported when they are first used.
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
        """Call the function of the Python API that has the room's name."""
        with uncollected():
            api = importlib.import_module("chattn_nas.api")
        return getattr(api, self.__name__.rpartition(".")[2])(*args, **kwargs)


def callable_room(room: str) -> None:
    """Let ``chattn_nas.search(spec)`` be the function of :mod:`chattn_nas.api` and ``chattn_nas.search`` the room.

    A function of that name in ``chattn_nas`` would hide the room: ``import chattn_nas.search.queue as q`` raises then.
    """
    sys.modules[room].__class__ = _Callable
