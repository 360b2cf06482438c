"""Shows the progress of a search: a live display on a terminal, plain lines with the time elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType

import optuna
from rich.console import Console
from rich.live import Live

from chattn_nas.plural import plural
from chattn_nas.proxy import Outcome
from chattn_nas.proxy.measurement import outcome_words
from chattn_nas.proxy.pulse import Facts
from chattn_nas.search.board import BoardState, board
from chattn_nas.search.ending import Budget
from chattn_nas.spec.search_settings import SearchSettings
from chattn_nas.study.history import History, history
from chattn_nas.study.record import Record, Wording, record_of, wording_of
from chattn_nas.study.trials import FAILURES, counts

#: Seconds after which a search that writes lines says where it is, if nothing else was said: seen within 30.
SILENT = 25.0
#: The best so far is looked for anew when trials ended, and never takes more than this share of the time.
SHARE = 0.05


class Progress:
    """Shows a growing study; call :meth:`update` whenever something may have changed.

    Args:
        study: The study to show.
        settings: Give the target number of trials.
        shown: ``False`` is silent.
        console: Where to write; standard output by default.
        best: Describes the best network so far in a few words; ``None`` leaves it out.
        budget: Time limit of this session; the display then shows time instead of trials.
        observers: Called with the study at every update, shown or not.
        begins: First of the plain lines.

    Attributes:
        workers: Returns what every worker is doing.
    """

    def __init__(
        self,
        study: optuna.Study,
        settings: SearchSettings,
        *,
        shown: bool = True,
        console: Console | None = None,
        best: Callable[[optuna.Study], str] | None = None,
        budget: Budget | None = None,
        observers: Sequence[Callable[[optuna.Study], None]] = (),
        begins: str = "the search begins",
    ) -> None:
        self.study, self.target_trials, self.shown = study, settings.trials, shown
        self.console, self._best, self._observers = console or Console(), best, observers
        self._budget, self._begins = budget, begins
        self.workers: Callable[[], list[Facts]] = list
        self._seen = self._begun_with = self._shown_count = 0
        self._begun = self._said = time.monotonic()
        self._words, self._looked, self._look_took = "", 0, 0.0
        self._looked_at = 0.0
        self._live: Live | None = None
        self._state = BoardState(target=None if budget else self.target_trials)

    def __enter__(self) -> Progress:
        if not self.shown:
            return self
        known = history(self.study)
        self._seen, self._begun_with = len(known.finished), known.counted
        self._shown_count = known.counted
        self._begun = self._said = time.monotonic()
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=lambda: board(self._state), console=self.console, refresh_per_second=4, transient=True
            )
            self._live.start()
        else:
            self.say(self._begins)
        if known.counted:
            many = plural(known.counted, "trial") if self._budget else f"{known.counted} of {self.target_trials} trials"
            self.say(f"{many} had ended before")
        self._look(known)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.update()
        finally:
            if self._live is not None:
                self._live.stop()

    def update(self) -> None:
        """Show the trials that ended since the last call, and the state of the others."""
        for observer in self._observers:
            observer(self.study)
        if not self.shown:
            return
        known = history(self.study)
        new, self._seen = known.finished[self._seen :], len(known.finished)
        wording = wording_of(self.study) if new else Wording()  # asks the storage
        for trial in sorted(new, key=lambda one: one.number):
            counted = counts(trial)
            self._shown_count += counted
            of = "" if self._budget else f"/{self.target_trials}"
            place = f"{self._shown_count}{of}" if counted else "free"
            self.say(f"[{place}] {line(record_of(trial, wording))}")
        self._look(known)

    def hear(self, facts: Facts) -> None:
        """Take the state of this process, if it trains by itself."""
        self.workers = lambda: [facts]
        if self.shown:
            self._look(history(self.study))

    def say(self, text: str) -> None:
        """Print one line about the search itself."""
        if not self.shown:
            return
        self._said = time.monotonic()
        clock = "" if self.console.is_terminal else f"{datetime.now():%H:%M:%S} "
        self.console.print(f"{clock}{text}", markup=False, highlight=False, soft_wrap=not self.console.is_terminal)

    def _look(self, known: History) -> None:
        now = time.monotonic()
        ended = known.counted - self._begun_with
        left = (now - self._begun) / ended * max(0, self.target_trials - known.counted) if ended else None
        if self._budget is not None:
            left = max(0.0, self._budget.left)
        complete = known.outcomes[Outcome.COMPLETE]
        if self._best is not None and complete > self._looked and now - self._looked_at > self._look_took / SHARE:
            self._words = self._best(self.study)
            self._looked, self._looked_at = complete, time.monotonic()
            self._look_took = self._looked_at - now
        self._state = BoardState(
            target=None if self._budget else self.target_trials, ended=known.counted,
            stopped=known.outcomes[Outcome.PRUNED],
            failed=sum(known.outcomes[end] for end in FAILURES), left=left, as_of=now, best=self._words,
            workers=tuple(self.workers()),
        )  # fmt: skip
        if self._live is None and now - self._said > SILENT:
            self.say(self._state.words)


def line(record: Record) -> str:
    """Describe an ended trial in one line: outcome, network, score."""
    measured, stopped = record.measurement, record.outcome == Outcome.PRUNED
    how = outcome_words(record.outcome) if record.trained else "known already"
    if stopped and record.rungs:
        how += f" after epoch {record.rungs[-1].epoch}"
    parts = [record.short_name]
    if measured is not None and measured.rungs:
        parts.append(f"{record.unit.text(measured.rungs[-1].score)} {record.unit.title}, seed {record.seed}")
        if measured.seconds and record.trained:
            parts.append(f"{measured.seconds:.1f} s")
    if not stopped:
        parts.append(record.reason)
    return f"trial {record.number} {how}: " + ", ".join(part for part in parts if part)
