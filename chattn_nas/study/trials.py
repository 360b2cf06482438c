"""What a study knows: which trials count, which seeds of an architecture were trained, and what they gave."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from optuna.trial import FrozenTrial, TrialState

from chattn_nas.proxy import Outcome
from chattn_nas.study._optuna import all_trials as all_trials

TRAINED = "trained"
ANSWERED = "replicates answered from the record"
#: Outcomes of a trial that gave no result.
FAILURES = (Outcome.OUT_OF_MEMORY, Outcome.DIVERGED, Outcome.TIMED_OUT, Outcome.CRASHED)


def outcome(trial: FrozenTrial) -> Outcome | None:
    """How the trial ended; ``None`` while it waits or runs."""
    if not trial.state.is_finished():
        return None
    recorded = trial.user_attrs.get("outcome")
    if recorded:
        return Outcome(recorded)
    return {TrialState.COMPLETE: Outcome.COMPLETE, TrialState.PRUNED: Outcome.PRUNED}.get(trial.state, Outcome.CRASHED)


def is_open(trial: FrozenTrial) -> bool:
    """Whether it waits or runs."""
    return not trial.state.is_finished()


def counts(trial: FrozenTrial) -> bool:
    """Whether it is one of the trials that were asked for: all that ended, except what was refused unseen."""
    return outcome(trial) not in (None, Outcome.INFEASIBLE)


def has_failed(trial: FrozenTrial) -> bool:
    """Whether it ended without a result."""
    return outcome(trial) in FAILURES


def seeds(trials: Iterable[FrozenTrial], architecture: str) -> dict[int, FrozenTrial]:
    """The trials that train, or trained, the architecture of this canonical hash, by their seed."""
    return dict(found for trial in trials if (found := training_of(trial, architecture)))


def training_of(trial: FrozenTrial, architecture: str) -> tuple[int, FrozenTrial] | None:
    """The seed on which the trial trains, or trained, this architecture, and the trial; ``None`` where it does not."""
    attributes = trial.user_attrs
    if (
        attributes.get("hash") != architecture
        or attributes.get("seed") is None
        or attributes.get("value_source", TRAINED) != TRAINED
        or outcome(trial) is Outcome.INFEASIBLE
    ):
        return None
    return int(attributes["seed"]), trial


def accuracies(trials: Iterable[FrozenTrial], architecture: str) -> dict[int, float]:
    """Final validation accuracy (0 to 1) of every complete training of an architecture, by seed."""
    return {
        seed: trial.user_attrs["measurement"]["rungs"][-1]["accuracy"]
        for seed, trial in seeds(trials, architecture).items()
        if outcome(trial) is Outcome.COMPLETE and trial.user_attrs.get("measurement")
    }


def mean_accuracies(trials: Iterable[FrozenTrial]) -> dict[str, float]:
    """Mean final accuracy (0 to 1) of every architecture that was trained completely, by canonical hash."""
    found: dict[str, list[float]] = {}
    for trial in trials:
        if outcome(trial) is Outcome.COMPLETE and trial.user_attrs.get("value_source") == TRAINED:
            rungs = trial.user_attrs["measurement"]["rungs"]
            found.setdefault(trial.user_attrs["hash"], []).append(rungs[-1]["accuracy"])
    return {architecture: fmean(values) for architecture, values in found.items()}
