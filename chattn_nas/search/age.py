"""How long a trial has been running, by a clock that nobody sets."""

from __future__ import annotations

import time
from datetime import datetime

from optuna.trial import FrozenTrial


class Ages:
    """Seconds for which this process has seen each trial run.

    The stored start is in local time: it jumps with the clock, by an hour where summer time ends.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, datetime | None], float] = {}

    def __call__(self, trial: FrozenTrial) -> float:
        """The seconds since this process first asked for this trial; one that was taken again begins anew."""
        now = time.monotonic()
        return now - self._seen.setdefault((trial.number, trial.datetime_start), now)
