"""The loop of a worker: one trial after another until the target is reached."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime

import optuna

from chattn_nas.proxy import Outcome
from chattn_nas.search import ending, queue
from chattn_nas.search.failures import check_failures
from chattn_nas.search.trial import TrialRunner
from chattn_nas.study._optuna import id_of, signs_of_life
from chattn_nas.study.history import history

log = logging.getLogger(__name__)


def work(
    runner: TrialRunner,
    *,
    target_trials: int,
    alone: bool,
    propose: bool = True,
    stop: threading.Event,
    ended: Callable[[optuna.Study], None] = lambda study: None,
) -> None:
    """Run trials until ``target_trials`` have ended.

    Args:
        runner: Runs trials in this process.
        target_trials: Target number of ended trials in the whole study.
        alone: Whether no supervisor looks after lost trials, repeated failures, and this process.
        propose: ``False`` runs only waiting trials, until none is open.
        stop: Set it to take no further trial.
        ended: Called after every trial.

    Raises:
        SearchStopped: Trials keep failing (only if ``alone``).
        BrokenDevice: This process cannot train any more.
    """
    study, retries = runner.study, runner.spec.search.retries
    since = datetime.now()
    while not stop.is_set() and not ending.ended(study):
        if alone:
            for trial in queue.lost(study):
                queue.lose(study, trial, Outcome.CRASHED, "its worker is gone", retries)
        taken = queue.take(study, target_trials, runner.owner, propose=propose)
        if taken is None:
            if queue.is_done(study, target_trials) or not (propose or history(study).open):
                return
            stop.wait(0.3)  # those that run elsewhere may be lost, or refused for their costs
            continue
        with signs_of_life(study, id_of(taken), runner.spec.search.timeout):
            runner.run(taken)
        ended(study)
        if alone:
            check_failures(history(study), since)


def watch_parent(parent: int, die: Callable[[], None]) -> None:
    """Call ``die`` once the process that started this one is gone, even if it ended while torch was being imported."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        die()

    threading.Thread(target=watch, daemon=True).start()
