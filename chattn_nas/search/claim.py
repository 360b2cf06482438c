"""Chooses the seed that a trial trains its architecture on, so that no two trials train the same pair.

Two workers may propose one architecture at the same moment, and an Optuna storage has no lock. So a trial first
writes the seed that it wants, then looks: of two that want the same, at least one sees the other. A seed that another
trial holds is skipped; of two that both still want it, the one with the higher number skips it, and the other waits
until that has happened.
"""

from __future__ import annotations

import time

import optuna
from optuna.trial import FrozenTrial, TrialState

from chattn_nas.study import _optuna
from chattn_nas.study.attributes import trial_attributes
from chattn_nas.study.history import history

CLAIM = "chattn:claim"
#: Seconds to wait for another trial to decide: a worker that takes longer over a few writes is dead, and its seed is
#: passed over.
PATIENCE = 10.0


def claim_seed(study: optuna.Study, trial: optuna.Trial, architecture: str, *, first: int, most: int) -> int | None:
    """Claim a seed for this trial, and record it in the attributes ``hash`` and ``seed``.

    Args:
        study: The study that holds the trial.
        trial: The running trial; one that was returned to the queue keeps its seed.
        architecture: Canonical hash.
        first: The seed of the first training of every architecture.
        most: Seeds per architecture.

    Returns:
        The seed; ``None`` if all are taken.
    """
    mine = trial_attributes(_optuna.trial_now(study, trial))
    if mine.trained and mine.hash == architecture and mine.seed is not None:
        return mine.seed
    passed: set[int] = set()
    while True:
        held = history(study).seeds(architecture).keys() | passed
        free = [seed for seed in range(first, first + most) if seed not in held]
        meant = f"{architecture}/{free[0]}" if free else ""
        _optuna.set_system(study, _optuna.id_of(trial), CLAIM, meant)
        if not free:
            return None
        if _others_let_it_go(study, trial.number, architecture, free[0], meant):
            trial.set_user_attr("hash", architecture)
            trial.set_user_attr("seed", free[0])
            return free[0]
        passed.add(free[0])


def _others_let_it_go(study: optuna.Study, number: int, architecture: str, seed: int, meant: str) -> bool:
    deadline = time.monotonic() + PATIENCE
    while True:
        known = history(study)
        holder = known.seeds(architecture).get(seed)
        if holder is not None and holder.number != number:
            return False
        rivals = [other for other, trial in known.open.items() if other != number and _means(trial, meant)]
        if not rivals:
            return True
        if min(rivals) < number or time.monotonic() > deadline:
            return False
        time.sleep(0.02)


def _means(trial: FrozenTrial, meant: str) -> bool:
    return trial.state is TrialState.RUNNING and trial.system_attrs.get(CLAIM) == meant
