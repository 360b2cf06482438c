"""Module folders of a spec, and the modules to import first, the same in every process."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from chattn_nas.errors import InputError, first_line
from chattn_nas.parts import refuse_file

#: Hands the path of a process to those that it starts.
PATH = "CHATTN_NAS_PATH"

_folders: list[str] = []


def look_in(folders: Sequence[Path | str]) -> None:
    """Search these folders for modules too, after all others, so that no file there hides an installed package."""
    for folder in map(str, folders):
        if folder not in _folders:
            _folders.append(folder)
        if folder not in sys.path:
            sys.path.append(folder)


def folders() -> list[str]:
    """The folders passed to :func:`look_in` in this process."""
    return list(_folders)


def handed_path() -> dict[str, str]:
    """Environment variables with which a process searches the same folders for modules."""
    return {PATH: json.dumps([folder or os.getcwd() for folder in sys.path])}


def take_path() -> None:
    """Search for modules where the parent process does."""
    handed = os.environ.get(PATH)
    for folder in json.loads(handed) if handed else ():
        if folder not in sys.path:
            sys.path.append(folder)


def import_first(modules: Sequence[str]) -> None:
    """Import the modules under the spec's key ``imports``, which register attentions, backbones or data sets.

    Raises:
        InputError: One cannot be imported; ``where`` is its place in the spec.
    """
    for index, name in enumerate(modules):
        refuse_file(name, ("imports", index))
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # somebody else's code, perhaps a script that reads its arguments
            reason = first_line(error)
            raise InputError(
                f"imports: {name} cannot be imported ({type(error).__name__}: {reason}); modules are looked for in the "
                "spec's folder, and where Python does",
                where=("imports", index),
            ) from error


def refuse_main(name: str, module: str, where: tuple[str | int, ...] = ("space",)) -> None:
    """Refuse a part from the main script, which worker processes cannot import.

    Raises:
        InputError: It comes from the main script; the message says what to do.
    """
    if module == "__main__":
        raise InputError(
            f"{name} is defined in the script that was started (__main__), which worker processes cannot import: put "
            "it into a file beside the spec, say my_parts.py, and write 'imports: [my_parts]' into the spec, or train "
            "in this process (workers: 0)",
            where=where,
        )
