"""Shares the device slots of a machine among unrelated processes: one lock file per slot."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from chattn_nas.errors import RunError
from chattn_nas.files import temporary_folder
from chattn_nas.search.devices import Slot
from chattn_nas.study.hold import hold

BUSY = "another process holds this slot"


@contextmanager
def slot_of(slots: Sequence[Slot], name: str) -> Iterator[Slot]:
    """Hold the first free slot, waiting until there is one. A process that dies releases its slot.

    Args:
        slots: Device slots of this machine.
        name: What shares them, such as a run: files of one name lie in one folder for temporary files.
    """
    folder = temporary_folder() / name
    while True:
        for slot in slots:
            with ExitStack() as held:
                try:
                    held.enter_context(hold(folder / f"slot-{slot.index}.lock", lambda: BUSY))
                except RunError as error:
                    if str(error) != BUSY:
                        raise
                    continue
                yield slot
                return
        time.sleep(0.2)
