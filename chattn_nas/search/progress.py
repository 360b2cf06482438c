"""How far a search is: a live bar on a terminal, one plain line per trial elsewhere."""

from __future__ import annotations

from types import TracebackType

import optuna
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from chattn_nas.proxy import Outcome
from chattn_nas.spec.search_settings import SearchSettings
from chattn_nas.study.attributes import trial_attributes
from chattn_nas.study.history import History, history
from chattn_nas.study.metric import metric_of
from chattn_nas.study.trials import FAILURES, outcome


class Progress:
    """Shows a study while it grows; call :meth:`update` when something may have changed.

    Args:
        study: What is watched.
        settings: For the asked number of trials.
        shown: ``False`` is silent.
        console: Where to write; standard output by default.
    """

    def __init__(self, study: optuna.Study, settings: SearchSettings, *, shown: bool = True,
                 console: Console | None = None) -> None:  # fmt: skip
        self.study, self.target_trials, self.shown = study, settings.trials, shown
        self.console = console or Console()
        self._shown_trials = 0
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        if not self.shown:
            return self
        known = history(self.study)
        self._shown_trials = len(known.finished)
        if self.console.is_terminal:
            self._bar = Bar(
                TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("{task.fields[summary]}"), TimeRemainingColumn(), console=self.console,
            )  # fmt: skip
            self._task = self._bar.add_task(
                "trials", total=self.target_trials, completed=known.counted, summary=_summary(known)
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.shown:
            self.update()
        if self._bar is not None:
            self._bar.stop()

    def update(self) -> None:
        """Show the trials that ended since the last call."""
        if not self.shown:
            return
        known = history(self.study)
        new = sorted(known.finished[self._shown_trials :], key=lambda trial: trial.number)
        self._shown_trials += len(new)
        if self._bar is not None:
            self._bar.update(self._task, completed=known.counted, summary=_summary(known))
            return
        for trial in new:
            self.console.print(
                f"[{known.counted}/{self.target_trials}] {line(trial, metric_of(self.study))}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def say(self, text: str) -> None:
        """One line about the search itself."""
        if self.shown:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _summary(known: History) -> str:
    failed = sum(known.outcomes[end] for end in FAILURES)
    text = f"{known.outcomes[Outcome.PRUNED]} pruned, {failed} failed"
    return text if known.highest_mean is None else f"{text}, highest raw mean {known.highest_mean:.4f}"


def line(trial: FrozenTrial, metric: str = "accuracy") -> str:
    """An ended trial in one line."""
    stored = trial_attributes(trial)
    types = " | ".join(stage["type"] for stage in stored.stages)
    parts = [f"trial {trial.number}: {outcome(trial)}"]
    if stored.measurement is not None and stored.measurement.rungs:
        parts.append(f"{metric} {stored.measurement.rungs[-1].score:.4f}, seed {stored.seed}")
    parts += [stored.label or types, stored.reason]
    return "; ".join(part for part in parts if part)
