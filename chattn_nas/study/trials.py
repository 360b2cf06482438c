"""Questions to a study: which trials count, which seeds of an architecture were trained, and with which results."""

from __future__ import annotations

from optuna.trial import FrozenTrial, TrialState

from chattn_nas.proxy import Outcome
from chattn_nas.study._optuna import all_trials as all_trials
from chattn_nas.study.attributes import ANSWERED as ANSWERED
from chattn_nas.study.attributes import TRAINED as TRAINED
from chattn_nas.study.attributes import trial_attributes

#: Outcomes of a trial that gave no result.
FAILURES = (Outcome.OUT_OF_MEMORY, Outcome.DIVERGED, Outcome.TIMED_OUT, Outcome.CRASHED)


def outcome(trial: FrozenTrial) -> Outcome | None:
    """The outcome of a trial; ``None`` while it waits or runs."""
    if not trial.state.is_finished():
        return None
    recorded = trial_attributes(trial).outcome
    return recorded or {TrialState.COMPLETE: Outcome.COMPLETE, TrialState.PRUNED: Outcome.PRUNED}.get(
        trial.state, Outcome.CRASHED
    )


def is_open(trial: FrozenTrial) -> bool:
    """Whether a trial waits or runs."""
    return not trial.state.is_finished()


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial counts towards the target: all ended ones do, except those refused before training."""
    return outcome(trial) not in (None, Outcome.INFEASIBLE)


def has_failed(trial: FrozenTrial) -> bool:
    """Whether a trial ended without a result."""
    return outcome(trial) in FAILURES


def training_of(trial: FrozenTrial, architecture: str) -> tuple[int, FrozenTrial] | None:
    """The seed on which a trial trains, or trained, this architecture, with the trial; ``None`` if it does not."""
    stored = trial_attributes(trial)
    if stored.hash != architecture or stored.seed is None or not stored.trained or outcome(trial) is Outcome.INFEASIBLE:
        return None
    return stored.seed, trial
