"""The queue of trials: exactly the target number of them end, however many workers there are.

A trial is taken by setting it from waiting to running, which every storage grants to one worker only. It may be taken
if, of the trials with a lower number, fewer than the target have ended or may still end: a rule that needs no lock,
since that count never rises. A lost trial goes back to waiting and keeps its number, architecture and seed, so it can
neither disappear nor exist twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from chattn_nas.proxy import Outcome
from chattn_nas.search.owner import is_dead
from chattn_nas.study import _optuna
from chattn_nas.study.history import history
from chattn_nas.study.texts import one_line

OWNER = "chattn:owner"
LOST = "chattn:lost"
#: A trial that runs without naming its worker for so long was taken by one that died in that instant; so was one that
#: began so far in the future, by a clock that was set back since.
NAMELESS = timedelta(seconds=20)


def take(study: optuna.Study, target_trials: int, owner: str, *, propose: bool = True) -> Trial | None:
    """Take the next trial, which then runs under ``owner``; ``None`` if no further trial is needed.

    Args:
        study: The study.
        target_trials: Target number of ended trials in the whole study.
        owner: Name of this process.
        propose: Whether to create a new trial if none is waiting.
    """
    known = history(study)
    for number, trial in sorted(known.open.items()):
        if trial.state is not TrialState.WAITING:
            continue
        if known.places_before(number) >= target_trials:
            return None
        if taken := take_one(study, _optuna.id_of(trial), owner):
            return taken
    room = target_trials - known.counted - len(known.open)
    return add(study, target_trials, owner) if room > 0 and propose else None


def take_one(study: optuna.Study, trial_id: int, owner: str) -> Trial | None:
    """Take this waiting trial, which then runs under ``owner``; ``None`` if another process has it."""
    if not _optuna.set_state(study, trial_id, TrialState.RUNNING):
        return None
    _optuna.set_system(study, trial_id, OWNER, owner)
    return _optuna.running(study, trial_id)


def add(
    study: optuna.Study,
    target_trials: int,
    owner: str,
    params: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Trial | None:
    """Add a trial that runs under ``owner``; ``None`` (and the trial waits) if others took the last places.

    Args:
        study: The study.
        target_trials: Target number of ended trials in the whole study.
        owner: Name of this process.
        params: The parameters to propose; without them the sampler decides.
        attributes: User attributes of the trial.
    """
    new = _optuna.new_trial(study, {OWNER: owner}, params, attributes or {})
    if history(study).places_before(new.number) >= target_trials:
        _optuna.set_state(study, _optuna.id_of(new), TrialState.WAITING)
        return None
    return _optuna.running(study, _optuna.id_of(new))


def is_done(study: optuna.Study, target_trials: int, within: float = 0.0) -> bool:
    """Whether the target number of trials has ended, as of at most ``within`` seconds ago."""
    return history(study, within).counted >= target_trials


def open_places(study: optuna.Study, target_trials: int) -> int:
    """Number of trials that the target still lacks, besides those that ended, run or wait."""
    known = history(study)
    return max(0, target_trials - known.counted - len(known.open))


def is_mine(study: optuna.Study, trial_id: int, owner: str) -> bool:
    """Whether the trial still runs under ``owner``; it may have been declared lost."""
    trial = _optuna.trial_now(study, trial_id)
    return trial.state is TrialState.RUNNING and trial.system_attrs.get(OWNER) == owner


def give_back(study: optuna.Study, trial_id: int) -> None:
    """Return a trial to the queue, as if it had never been taken.

    Its worker's name is removed first, so that a trial that is taken again never seems to be the old worker's.
    """
    with suppress(UpdateFinishedTrialError):
        _optuna.set_system(study, trial_id, OWNER, "")
        _optuna.set_state(study, trial_id, TrialState.WAITING)


def lose(study: optuna.Study, trial: FrozenTrial, outcome: Outcome, reason: str, retries: int) -> bool:
    """Return a trial whose worker is gone to the queue; after more than ``retries`` times, end it as ``outcome``.

    Returns:
        Whether it was returned to the queue.
    """
    key = _optuna.id_of(trial)
    now = _optuna.trial_now(study, key)
    if now.state is not TrialState.RUNNING or now.system_attrs.get(OWNER) != trial.system_attrs.get(OWNER):
        return False  # another process saw it first
    times = now.system_attrs.get(LOST, 0) + 1
    try:
        _optuna.set_system(study, key, LOST, times)
        _optuna.set_user(study, key, "reason", one_line(reason))
        if times <= retries:
            give_back(study, key)
            return True
        _optuna.set_user(study, key, "outcome", str(outcome))
        _optuna.set_state(study, key, TrialState.FAIL)
    except UpdateFinishedTrialError:
        pass
    return False


def lost(study: optuna.Study) -> list[FrozenTrial]:
    """Running trials whose worker ended (on this machine), fell silent (elsewhere), or never left its name."""
    silent = _optuna.silent_trials(study)
    return [
        trial
        for _, trial in sorted(history(study).open.items())
        if trial.state is TrialState.RUNNING and (_optuna.id_of(trial) in silent or _is_orphan(trial))
    ]


def _is_orphan(trial: FrozenTrial) -> bool:
    owner = trial.system_attrs.get(OWNER)
    if not owner:
        return trial.datetime_start is not None and abs(datetime.now() - trial.datetime_start) > NAMELESS
    return is_dead(owner)
