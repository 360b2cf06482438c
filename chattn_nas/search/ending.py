"""Ends a search before its target number of trials: time is up, or more trials cannot change the answer.

Whoever notices writes a sentence into the study. Every worker, wherever it runs, looks for it before it takes a trial,
and finishes the one that it has. The next session of the search removes the sentence.
"""

from __future__ import annotations

import time
from statistics import fmean

import optuna

from chattn_nas.study.history import history

#: Attribute of a study: why no further trial is taken; empty while the search goes on.
ENDED = "ended"


def end(study: optuna.Study, reason: str) -> None:
    """Let no worker take a further trial of this study; ``reason`` is a sentence without its full stop."""
    if not ended(study):
        study.set_user_attr(ENDED, reason)


def ended(study: optuna.Study) -> str:
    """The reason why the search was ended early; empty if it was not."""
    return str(study.user_attrs.get(ENDED) or "")


def reopen(study: optuna.Study) -> None:
    """Begin a new session, in which trials are taken again."""
    if ended(study):
        study.set_user_attr(ENDED, "")


class Budget:
    """Ends a search when its time is up; called with the study now and then.

    No trial begins that would, judging by the mean of the last twenty, end too late.

    Args:
        seconds: Length of this session, on the wall clock.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.begun, self._is_spent = seconds, time.monotonic(), False

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.monotonic() - self.begun)

    def __call__(self, study: optuna.Study) -> None:
        """End the search if its time is up."""
        if self._is_spent:
            return
        lengths = [
            (trial.datetime_complete - trial.datetime_start).total_seconds()
            for trial in history(study).last_counted
            if trial.datetime_complete is not None and trial.datetime_start is not None
        ]
        if self.left < (fmean(lengths[-20:]) if lengths else 0.0):
            self._is_spent = True
            end(study, f"the budget of {self.seconds / 60:.3g} min is spent")
