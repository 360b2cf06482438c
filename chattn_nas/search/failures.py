"""Stops a search whose trials keep failing or keep being refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from optuna.trial import FrozenTrial

from chattn_nas.errors import SearchStopped
from chattn_nas.proxy import Outcome
from chattn_nas.study.attributes import trial_attributes
from chattn_nas.study.history import History
from chattn_nas.study.trials import counts, has_failed, outcome

IN_A_ROW = 5
#: Proposals refused for their costs one after the other: were one network in 100 feasible, so many would be met by one
#: search in 20.
REFUSED_IN_A_ROW = 300


def check_failures(known: History, since: datetime) -> None:
    """Stop after five failures in a row, when every baseline failed, or when constraints refuse every proposal.

    Args:
        known: The study's trials.
        since: Only later trials count, so that a search can be resumed once its cause is fixed.

    Raises:
        SearchStopped: The message gives the most common reason.
    """
    ended = sorted(
        (trial for trial in known.last_counted if _ended(trial) >= since),
        key=lambda trial: (trial.datetime_complete, trial.number),
    )
    baselines = [trial for trials in known.labelled.values() for trial in trials if counts(trial)]
    recent = [trial for trial in baselines if _ended(trial) >= since]
    waiting = any(trial_attributes(trial).label for trial in known.open.values())
    if recent and not waiting and all(map(has_failed, baselines)):
        raise SearchStopped(f"every baseline failed, most often: {_commonest(recent)}")
    row = ended[-IN_A_ROW:]
    if len(row) == IN_A_ROW and all(map(has_failed, row)):
        raise SearchStopped(f"the last {IN_A_ROW} trials failed, most often: {_commonest(row)}")
    refused = list(known.last_proposed)[-REFUSED_IN_A_ROW:]
    if len(refused) == REFUSED_IN_A_ROW and all(
        outcome(t) is Outcome.INFEASIBLE and _ended(t) >= since for t in refused
    ):
        raise SearchStopped(
            f"the last {REFUSED_IN_A_ROW} networks that were proposed violate the constraints, the very last by "
            f"{trial_attributes(refused[-1]).reason}; 'chattn-nas space SPEC' says how much of the space satisfies them"
        )


def _ended(trial: FrozenTrial) -> datetime:
    assert trial.datetime_complete is not None
    return trial.datetime_complete


def _commonest(trials: Sequence[FrozenTrial]) -> str:
    reasons = Counter(f"{outcome(trial)} ({trial_attributes(trial).reason or 'no reason given'})" for trial in trials)
    return reasons.most_common(1)[0][0]
