"""Callbacks of the user's own, called in the process that started the search."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

import optuna
from optuna.trial import TrialState

from chattn_nas.errors import InputError
from chattn_nas.files import replacing
from chattn_nas.proxy.measurement import Rung
from chattn_nas.study.history import history
from chattn_nas.study.record import Record, record_of, wording_of
from chattn_nas.study.run import RunDirectory

log = logging.getLogger(__name__)

#: File of a run with the numbers of the trials whose end was reported.
TOLD = "logs/told.json"


class Callback:
    """Subclass it and override the methods you need; an exception in one is logged, and the search goes on.

    They are called about once a second for everything that happened since, wherever the trials run. Every end of a
    trial is reported once, including those that ended while this process was not running.
    """

    def on_trial_start(self, trial: Record) -> None:
        """A worker has taken the trial; ``trial.choices`` and ``trial.seed`` are known a moment later."""

    def on_rung(self, trial: Record, rung: Rung) -> None:
        """The network was scored at the end of a rung."""

    def on_trial_end(self, trial: Record) -> None:
        """The trial ended; see ``trial.outcome`` and ``trial.measurement``."""

    def on_search_end(self, run: RunDirectory) -> None:
        """All trials have ended, or the search was stopped early."""


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Refuse objects that cannot be called back.

    Raises:
        InputError: A class, a function, or an object that lacks one of the methods.
    """
    methods = [name for name in vars(Callback) if name.startswith("on_")]
    for callback in callbacks:
        if isinstance(callback, type) or not all(callable(getattr(callback, name, None)) for name in methods):
            what = f"the class {callback.__name__}: call it" if isinstance(callback, type) else f"{callback!r}"[:200]
            raise InputError(
                f"callbacks are objects of a class that inherits from chattn_nas.search.Callback, not {what}",
                where=("callbacks",),
            )


class Observer:
    """Watches a study and calls back.

    Args:
        run: The run to watch.
        callbacks: The callbacks, called in this order.
    """

    def __init__(self, run: RunDirectory, callbacks: Sequence[Callback]) -> None:
        self.run, self.callbacks = run, callbacks
        self.path = run.directory / TOLD
        self._reported: set[int] = set()
        if callbacks:
            with suppress(OSError, ValueError, TypeError):
                self._reported = set(json.loads(self.path.read_text(encoding="utf-8")))
        self._started: set[int] = set()
        self._rungs: dict[int, int] = {}
        self._seen = 0

    def __call__(self, study: optuna.Study) -> None:
        """Report what happened since the last call."""
        if not self.callbacks:
            return
        known, wording = history(study), wording_of(study)
        for number, trial in sorted(known.open.items()):
            if trial.state is TrialState.RUNNING and known.attributes(trial).seed is not None:
                record = record_of(trial, wording)
                self._begin(record)
                for index, (epoch, score) in enumerate(sorted(trial.intermediate_values.items())):
                    if index >= self._rungs.get(number, 0):
                        self._rung(record, _rung(epoch, score))
        new, self._seen = known.finished[self._seen :], len(known.finished)
        fresh = [trial for trial in sorted(new, key=lambda one: one.number) if trial.number not in self._reported]
        for trial in fresh:
            record = record_of(trial, wording)
            self._begin(record)
            self._end(record)
            self._reported.add(trial.number)
        if fresh:
            self.path.parent.mkdir(exist_ok=True)
            with replacing(self.path) as partial:
                partial.write_text(json.dumps(sorted(self._reported)), encoding="utf-8")

    def end(self) -> None:
        """Report what remains, then the end of the search."""
        self(self.run.study)
        self._call(lambda one: one.on_search_end(self.run))

    def _begin(self, record: Record) -> None:
        if record.number not in self._started:
            self._started.add(record.number)
            self._call(lambda one: one.on_trial_start(record))

    def _end(self, record: Record) -> None:
        for rung in record.rungs[self._rungs.get(record.number, 0) :]:
            self._rung(record, rung)
        self._call(lambda one: one.on_trial_end(record))

    def _rung(self, record: Record, rung: Rung) -> None:
        self._rungs[record.number] = self._rungs.get(record.number, 0) + 1
        self._call(lambda one: one.on_rung(record, rung))

    def _call(self, tell: Callable[[Callback], None]) -> None:
        for one in self.callbacks:
            try:
                tell(one)
            except Exception:  # somebody else's code
                log.exception("%s failed; the search goes on", type(one).__name__)


def _rung(epoch: int, score: float) -> Rung:
    """A rung of a trial that is still running; its loss is known at the trial's end."""
    return Rung(epoch=epoch, score=score, loss=float("nan"))
