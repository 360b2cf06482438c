"""Which trial comes next, so that exactly the asked number ends however many workers there are.

A trial is taken by setting it from waiting to running, which every storage does for one worker only. It may be taken
where fewer trials than asked for, of those with a lower number, have ended or may still end: a rule that needs no
lock, since that number never rises. A lost trial goes back to waiting and keeps its number, its architecture and its
seed: it cannot be lost between two records, nor exist twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from chattn_nas.proxy import Outcome
from chattn_nas.search.owner import is_dead
from chattn_nas.study.trials import all_trials, counts, is_open

OWNER = "chattn:owner"
LOST = "chattn:lost"
#: A trial that runs without naming its worker for so long was taken by one that died in that instant.
NAMELESS = timedelta(seconds=20)


def take(study: optuna.Study, target_trials: int, owner: str, *, propose: bool = True) -> Trial | None:
    """The next trial, now running under ``owner``; ``None`` where all that were asked for have ended or run.

    Args:
        study: Whose queue it is.
        target_trials: Trials that shall have ended in the whole study.
        owner: Name of this process.
        propose: Where none waits, make a new one.
    """
    room = target_trials
    for trial in all_trials(study):
        if not (is_open(trial) or counts(trial)):
            continue
        if room == 0:
            return None
        room -= 1
        if trial.state is TrialState.WAITING and (taken := take_one(study, trial._trial_id, owner)):
            return taken
    return add(study, target_trials, owner) if room > 0 and propose else None


def take_one(study: optuna.Study, trial_id: int, owner: str) -> Trial | None:
    """This waiting trial, now running under ``owner``; ``None`` where another process has it."""
    if not _set_state(study._storage, trial_id, TrialState.RUNNING):
        return None
    study._storage.set_trial_system_attr(trial_id, OWNER, owner)
    return _trial(study, trial_id)


def add(
    study: optuna.Study,
    target_trials: int,
    owner: str,
    params: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> Trial | None:
    """A new trial, running under ``owner``; ``None`` (and the trial waits) where others took the last places.

    Args:
        study: That gets it.
        target_trials: Trials that shall have ended in the whole study.
        owner: Name of this process.
        params: What it shall propose; the sampler decides where there are none.
        attributes: User attributes.
    """
    storage = study._storage
    fixed = {} if params is None else {"fixed_params": dict(params)}
    template = create_trial(
        state=TrialState.RUNNING, system_attrs={OWNER: owner, **fixed}, user_attrs=dict(attributes or {})
    )
    new = storage.create_new_trial(study._study_id, template_trial=template)
    number = storage.get_trial(new).number
    before = sum(1 for trial in all_trials(study) if trial.number < number and (is_open(trial) or counts(trial)))
    if before >= target_trials:
        _set_state(storage, new, TrialState.WAITING)
        return None
    return _trial(study, new)


def is_done(study: optuna.Study, target_trials: int) -> bool:
    """Whether the asked number of trials has ended."""
    return sum(map(counts, all_trials(study))) >= target_trials


def open_places(study: optuna.Study, target_trials: int) -> int:
    """How many trials of those that were asked for neither ended nor run nor wait."""
    return max(0, target_trials - sum(1 for trial in all_trials(study) if is_open(trial) or counts(trial)))


def is_mine(study: optuna.Study, trial_id: int, owner: str) -> bool:
    """Whether the trial still runs under ``owner``: it may have been taken for lost."""
    trial = study._storage.get_trial(trial_id)
    return trial.state is TrialState.RUNNING and trial.system_attrs.get(OWNER) == owner


def give_back(study: optuna.Study, trial_id: int) -> None:
    """Let a trial wait again, as if it had never been taken.

    Its worker's name goes first: a trial that is taken anew must not look for an instant as if it were the old one's.
    """
    with suppress(UpdateFinishedTrialError):
        study._storage.set_trial_system_attr(trial_id, OWNER, "")
        study._storage.set_trial_state_values(trial_id, TrialState.WAITING)


def lose(study: optuna.Study, trial: FrozenTrial, how: Outcome, reason: str, retries: int) -> bool:
    """Give a trial back whose worker is gone; when that happened more than ``retries`` times, it ends as ``how``.

    Returns:
        Whether it was given back.
    """
    storage, key = study._storage, trial._trial_id
    now = storage.get_trial(key)
    if now.state is not TrialState.RUNNING or now.system_attrs.get(OWNER) != trial.system_attrs.get(OWNER):
        return False  # another process saw it first
    times = now.system_attrs.get(LOST, 0) + 1
    try:
        storage.set_trial_system_attr(key, LOST, times)
        storage.set_trial_user_attr(key, "reason", reason)
        if times <= retries:
            give_back(study, key)
            return True
        storage.set_trial_user_attr(key, "outcome", str(how))
        storage.set_trial_state_values(key, TrialState.FAIL)
    except UpdateFinishedTrialError:
        pass
    return False


def lost(study: optuna.Study) -> list[FrozenTrial]:
    """Running trials whose worker ended (on this machine), fell silent (elsewhere), or never gave its name."""
    storage = study._storage
    silent: set[int] = set()
    if isinstance(storage, BaseHeartbeat) and storage.get_heartbeat_interval() is not None:
        silent = set(storage._get_stale_trial_ids(study._study_id))
    return [
        trial
        for trial in all_trials(study)
        if trial.state is TrialState.RUNNING and (trial._trial_id in silent or _is_orphan(trial))
    ]


def _is_orphan(trial: FrozenTrial) -> bool:
    owner = trial.system_attrs.get(OWNER)
    if not owner:
        return trial.datetime_start is not None and datetime.now() - trial.datetime_start > NAMELESS
    return is_dead(owner)


def _trial(study: optuna.Study, trial_id: int) -> Trial:
    study._thread_local.cached_all_trials = None  # as Study.ask does: samplers shall see the newest results
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return Trial(study, trial_id)


def _set_state(storage: BaseStorage, trial_id: int, state: TrialState) -> bool:
    try:
        return storage.set_trial_state_values(trial_id, state)
    except UpdateFinishedTrialError:
        return False
