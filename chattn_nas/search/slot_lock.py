"""Gives the device slots of a machine to processes that know nothing of each other: one lock file per slot."""

from __future__ import annotations

import fcntl
import getpass
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from chattn_nas.search.devices import Slot


@contextmanager
def slot_of(slots: Sequence[Slot], name: str) -> Iterator[Slot]:
    """Hold the first free slot; wait until there is one. A process that dies gives its slot back.

    Args:
        slots: Device slots of this machine.
        name: What shares them, such as a run: files of one name lie in one folder for temporary files.
    """
    folder = Path(tempfile.gettempdir()) / f"chattn-nas-{getpass.getuser()}" / name
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for slot in slots:
            with (folder / f"slot-{slot.index}.lock").open("w") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    continue
                yield slot
                return
        time.sleep(0.2)
