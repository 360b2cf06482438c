"""A lock in a storage of any kind, for processes on any machine.

Optuna's storages have no lock, but none of them creates two studies of one name. So a short-lived study is the lock,
and its name says what is locked.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

TOKEN = "chattn:token"
#: Seconds after which a holder that has not let go is taken for dead: what is done under the lock takes milliseconds.
DEAD = 30.0


@contextmanager
def exclusively(storage: BaseStorage, name: str) -> Iterator[None]:
    """Hold the lock ``name`` of a storage, waiting until it is free."""
    study = f"{name} (held for a moment)"
    token, seen, since, pause = uuid.uuid4().hex, None, time.monotonic(), 0.01
    while True:
        with suppress(DuplicatedStudyError):
            mine = storage.create_new_study([StudyDirection.MINIMIZE], study)
            break
        holder = _holder(storage, study)
        if holder != seen:
            seen, since = holder, time.monotonic()
        elif time.monotonic() - since > DEAD:
            _remove(storage, study)
        time.sleep(pause)
        pause = min(0.5, 1.5 * pause)
    try:
        storage.set_study_system_attr(mine, TOKEN, token)
        yield
    finally:
        if _holder(storage, study) == token:
            _remove(storage, study)


def _holder(storage: BaseStorage, study: str) -> str | None:
    try:
        token = storage.get_study_system_attrs(storage.get_study_id_from_name(study)).get(TOKEN)
    except KeyError:
        return None
    return None if token is None else str(token)


def _remove(storage: BaseStorage, study: str) -> None:
    with suppress(KeyError):  # another process was quicker
        storage.delete_study(storage.get_study_id_from_name(study))
