"""The loop of a worker: one trial after the other until the asked number has ended."""

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
        target_trials: Trials that shall have ended in the whole study.
        alone: No supervisor looks after lost trials, failures in a row, or this process.
        propose: ``False`` runs only trials that wait, until none is left open.
        stop: Set when no further trial shall be taken.
        ended: Called after every trial.

    Raises:
        SearchStopped: Trials keep failing (only where ``alone``).
        BrokenDevice: This process can train nothing more.
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
    """Call ``die`` once the process that started this one is gone: perhaps it went while this one imported torch."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        die()

    threading.Thread(target=watch, daemon=True).start()
