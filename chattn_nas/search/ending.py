"""A search that ends before the asked number of trials: its time is over, or more trials cannot change the answer.

Whoever finds that out writes a sentence into the study; every worker, wherever it runs, looks for it before it takes a
trial, and finishes the one that it has. The next session of the search takes the sentence away.
"""

from __future__ import annotations

import time
from statistics import fmean

import optuna

from chattn_nas.study.history import history

#: Attribute of a study: why no further trial shall be taken; empty where the search goes on.
ENDED = "ended"


def end(study: optuna.Study, reason: str) -> None:
    """No worker takes a further trial of this study; ``reason`` is a whole sentence without its full stop."""
    if not ended(study):
        study.set_user_attr(ENDED, reason)


def ended(study: optuna.Study) -> str:
    """Why the search was ended; empty where it was not."""
    return str(study.user_attrs.get(ENDED) or "")


def reopen(study: optuna.Study) -> None:
    """A new session: trials are taken again."""
    if ended(study):
        study.set_user_attr(ENDED, "")


class Budget:
    """Ends a search on time; called with the study now and then.

    No trial is begun that would, by the mean of this session, end later than it may.

    Args:
        seconds: Of this session, on the wall clock.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.begun, self._told = seconds, time.monotonic(), False

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds - (time.monotonic() - self.begun)

    def __call__(self, study: optuna.Study) -> None:
        """End the search where its time is over."""
        if self._told:
            return
        lengths = [
            (trial.datetime_complete - trial.datetime_start).total_seconds()
            for trial in history(study).last_counted
            if trial.datetime_complete is not None and trial.datetime_start is not None
        ]
        if self.left < (fmean(lengths[-20:]) if lengths else 0.0):
            self._told = True
            end(study, f"the budget of {self.seconds / 60:.3g} min is spent")
