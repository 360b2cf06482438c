"""The current state of a worker process, in a small file that it writes and its supervisor reads."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from chattn_nas.files import replacing
from chattn_nas.proxy.pulse import Facts, Listener

#: Seconds after which such a file says nothing any more.
STALE = 120.0


def written_to(path: Path) -> Listener:
    """Return a listener that writes the state to a file; if the disk is full or gone, the training goes on."""

    def write(facts: Facts) -> None:
        with suppress(OSError), replacing(path) as partial:
            partial.write_text(json.dumps(facts | {"time": time.time()}), encoding="utf-8")

    return write


def read_from(path: Path) -> Facts:
    """Return the last state, with its age in seconds as ``age``; empty if it is missing or too old."""
    with suppress(OSError, ValueError):
        facts = json.loads(path.read_text(encoding="utf-8"))
        age = time.time() - float(facts["time"])
        if isinstance(facts, dict) and age < STALE:
            return facts | {"age": age}
    return {}
