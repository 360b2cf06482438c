"""Everything that a study holds: typed records, storage, run directory, checkpoints, notes, artifacts."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.study.record import Record as Record
    from chattn_nas.study.record import records as records
    from chattn_nas.study.run import RunDirectory as RunDirectory

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        ".record": "Record records",
        ".run": "RunDirectory",
    },
)
