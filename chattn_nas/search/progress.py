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
from chattn_nas.study.metric import metric_of
from chattn_nas.study.trials import all_trials, counts, has_failed, mean_accuracies, outcome


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
        self._seen: set[int] = set()
        self._bar: Bar | None = None

    def __enter__(self) -> Progress:
        if not self.shown:
            return self
        trials = all_trials(self.study)
        self._seen = {trial.number for trial in trials if trial.state.is_finished()}
        if self.console.is_terminal:
            self._bar = Bar(
                TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("{task.fields[summary]}"), TimeRemainingColumn(), console=self.console,
            )  # fmt: skip
            done = sum(map(counts, trials))
            self._task = self._bar.add_task(
                "trials", total=self.target_trials, completed=done, summary=self._summary(trials)
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
        trials = all_trials(self.study)
        new = [trial for trial in trials if trial.state.is_finished() and trial.number not in self._seen]
        self._seen |= {trial.number for trial in new}
        if self._bar is not None:
            self._bar.update(self._task, completed=sum(map(counts, trials)), summary=self._summary(trials))
            return
        for trial in new:
            done = sum(map(counts, trials))
            self.console.print(
                f"[{done}/{self.target_trials}] {line(trial, metric_of(self.study))}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def say(self, text: str) -> None:
        """One line about the search itself."""
        if self.shown:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _summary(self, trials: list[FrozenTrial]) -> str:
        pruned = sum(outcome(trial) is Outcome.PRUNED for trial in trials)
        best = max(mean_accuracies(trials).values(), default=None)
        text = f"{pruned} pruned, {sum(map(has_failed, trials))} failed"
        return text if best is None else f"{text}, highest raw mean {best:.4f}"


def line(trial: FrozenTrial, metric: str = "accuracy") -> str:
    """An ended trial in one line."""
    attributes = trial.user_attrs
    measured = attributes.get("measurement") or {}
    types = " | ".join(stage["type"] for stage in attributes.get("architecture", {}).get("stages", ()))
    parts = [f"trial {trial.number}: {outcome(trial)}"]
    if measured.get("rungs"):
        parts.append(f"{metric} {measured['rungs'][-1]['accuracy']:.4f}, seed {attributes['seed']}")
    parts.append(attributes.get("label") or types)
    if attributes.get("reason"):
        parts.append(attributes["reason"])
    return "; ".join(part for part in parts if part)
