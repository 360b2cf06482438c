"""Tasks by their names in a spec."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError
from chattn_nas.parts import is_path, load_object

if TYPE_CHECKING:
    from chattn_nas.tasks.task import Task

#: Module and class of ours; imported when asked for.
BUILT_IN = {
    "classification": "classification:Classification",
    "multilabel": "classification:Multilabel",
    "segmentation": "segmentation:Segmentation",
    "detection": "detection:Detection",
    "super_resolution": "super_resolution:SuperResolution",
}
GROUP = "chattn_nas.tasks"
_registered: dict[str, type[Task]] = {}
T = TypeVar("T", bound="type[Task]")


def register(name: str) -> Callable[[T], T]:
    """Class decorator that registers a task under a name.

    An installed package names its module in the entry-point group ``chattn_nas.tasks``.

    Raises:
        InputError: Another class has the name.
    """

    def add(cls: T) -> T:
        known = _registered.get(name)
        if name in BUILT_IN or (known is not None and known.__qualname__ != cls.__qualname__):
            raise InputError(f"there is a task {name!r} already")
        _registered[name] = cls
        return cls

    return add


@checked
def find(name: str) -> type[Task]:
    """Find the class of a task: built in, registered, or ``module:Class``.

    Raises:
        InputError: There is no such task; ``where`` is ``type``.
    """
    if name in BUILT_IN:
        ours: type[Task] = load_object(f"chattn_nas.tasks.{BUILT_IN[name]}", "a task", ("type",))
        return ours
    if is_path(name):
        return _own(name)
    if name not in _registered:
        for entry in entry_points(group=GROUP):
            if entry.name == name:
                entry.load()
    if name not in _registered:
        known = [*BUILT_IN, *_registered, *(entry.name for entry in entry_points(group=GROUP))]
        raise InputError(
            f"there is no task {name!r}", where=("type",), value=name, choices=[*dict.fromkeys(known), "module:Class"]
        )
    return _registered[name]


def _own(path: str) -> type[Task]:
    from chattn_nas.tasks.task import Task

    cls = load_object(path, "a task", ("type",))
    if not (isinstance(cls, type) and issubclass(cls, Task)):
        raise InputError(
            f"{path} is no task: it must be a subclass of chattn_nas.tasks.Task", where=("type",), value=path
        )
    return cls
