"""The history of a study that every trial needs, kept up to date by reading only what changed.

It takes tens of milliseconds to go through a study of 20,000 trials, and every trial asks a dozen questions: how many
have ended, which seeds of an architecture were trained, which architectures are the best. So an ended trial is read
once, and only waiting and running ones are read again.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left, insort
from collections import Counter, deque
from statistics import fmean
from weakref import WeakKeyDictionary

import optuna
from optuna.trial import FrozenTrial

from chattn_nas.proxy import Outcome
from chattn_nas.study import _optuna
from chattn_nas.study.attributes import TrialAttributes, trial_attributes
from chattn_nas.study.trials import counts, outcome, training_of

#: Ended trials that are kept in the order in which they were seen, for those who look at the last few.
LAST = 300


class History:
    """The trials of a study; :func:`history` returns this process's own, up to date.

    Attributes:
        open: Waiting and running trials, by number.
        finished: All others, in the order in which they were seen to end.
        outcomes: Number of trials per outcome.
        labelled: Ended trials of every baseline, by label.
        last_counted: The last few that count towards the target.
        last_proposed: The last few that were no baseline.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.study = study
        self.open: dict[int, FrozenTrial] = {}
        self.finished: list[FrozenTrial] = []
        self.outcomes: Counter[Outcome | None] = Counter()
        self.labelled: dict[str, list[FrozenTrial]] = {}
        self.last_counted: deque[FrozenTrial] = deque(maxlen=LAST)
        self.last_proposed: deque[FrozenTrial] = deque(maxlen=LAST)
        self._size = 0
        self._stored: dict[int, TrialAttributes] = {}
        self._counted: list[int] = []
        self._queued: list[int] = []
        self._trained: dict[str, dict[int, FrozenTrial]] = {}
        self._scores: dict[str, dict[int, float]] = {}
        self._ranking: list[tuple[float, str]] = []
        self._lock = threading.Lock()
        self._looked = -math.inf

    def refresh(self, within: float = 0.0) -> History:
        """Read what changed, unless that was done less than ``within`` seconds ago."""
        with self._lock:
            if time.monotonic() - self._looked < within:
                return self
            now = time.monotonic()
            trials = _optuna.trials_by_number(self.study)
            again, self.open = sorted(self.open), {}
            while self._size in trials:
                again.append(self._size)
                self._size += 1
            for number in again:
                trial = trials[number]
                if trial.state.is_finished():
                    self._add(trial)
                else:
                    self.open[number] = trial
            self._looked = now
        return self

    @property
    def counted(self) -> int:
        """Number of ended trials that count towards the target."""
        return len(self._counted)

    def places_before(self, number: int) -> int:
        """Number of trials with a lower number that count towards the target, or still may."""
        return bisect_left(self._counted, number) + sum(1 for other in self.open if other < number)

    def proposed_before(self, number: int) -> int:
        """Number of trials with a lower number whose architecture the sampler chose."""
        queued = bisect_left(self._queued, number)
        queued += sum(1 for other, trial in self.open.items() if other < number and _optuna.is_queued(trial))
        return number - queued

    def seeds(self, architecture: str) -> dict[int, FrozenTrial]:
        """The trials that train, or trained, the architecture of this canonical hash, by their seed."""
        running = (training for trial in self.open.values() if (training := training_of(trial, architecture)))
        return {**self._trained.get(architecture, {}), **dict(running)}

    def attributes(self, trial: FrozenTrial) -> TrialAttributes:
        """The attributes of a trial, read only once after it has ended."""
        stored = self._stored.get(trial.number)
        return trial_attributes(trial) if stored is None else stored

    def scores(self, architecture: str) -> dict[int, float]:
        """Final score on the validation set (0 to 1) of every complete training of an architecture, by seed."""
        return dict(self._scores.get(architecture, {}))

    def best(self, most: int) -> list[str]:
        """The hashes of the architectures with the highest mean score, best first."""
        return [architecture for _, architecture in self._ranking[:most]]

    def best_with(self, architecture: str, mean: float, most: int) -> list[str]:
        """Like :meth:`best`, if ``mean`` were the mean of that architecture, whose trial is about to end."""
        others = [one for one in self._ranking[: most + 1] if one[1] != architecture]
        insort(others, (-mean, architecture))
        return [one for _, one in others[:most]]

    def best_trials(self, most: int) -> list[FrozenTrial]:
        """The trials that trained those architectures."""
        return [trial for architecture in self.best(most) for trial in self._trained[architecture].values()]

    def _add(self, trial: FrozenTrial) -> None:
        end, stored = outcome(trial), trial_attributes(trial)
        self.finished.append(trial)
        self._stored[trial.number] = stored
        self.outcomes[end] += 1
        if counts(trial):
            insort(self._counted, trial.number)
            self.last_counted.append(trial)
        if _optuna.is_queued(trial):
            insort(self._queued, trial.number)
        if stored.label:
            self.labelled.setdefault(stored.label, []).append(trial)
        else:
            self.last_proposed.append(trial)
        architecture = stored.hash
        if architecture is None or (training := training_of(trial, architecture)) is None:
            return
        self._trained.setdefault(architecture, {})[training[0]] = trial
        if end is Outcome.COMPLETE and stored.measurement is not None:
            scores = self._scores.setdefault(architecture, {})
            if scores:
                self._ranking.pop(bisect_left(self._ranking, (-fmean(scores.values()), architecture)))
            scores[training[0]] = stored.measurement.rungs[-1].score
            insort(self._ranking, (-fmean(scores.values()), architecture))


_histories: WeakKeyDictionary[optuna.Study, History] = WeakKeyDictionary()
_making = threading.Lock()


def history(study: optuna.Study, within: float = 0.0) -> History:
    """Return the history of a study, at most ``within`` seconds old: reading it takes milliseconds."""
    with _making:
        if study not in _histories:
            _histories[study] = History(study)
    return _histories[study].refresh(within)
