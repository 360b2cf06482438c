"""Handles trials of an NNI experiment that take too much time or memory, or were lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import optuna
import psutil
from optuna.trial import FrozenTrial

from chattn_nas.proxy import Outcome
from chattn_nas.search import queue
from chattn_nas.search.owner import pid_of
from chattn_nas.spec.search_settings import SearchSettings
from chattn_nas.study.trials import is_open

#: Seconds that a trial has beyond its limit to end itself.
LATE = 10.0


def end_overdue(
    study: optuna.Study, trials: Iterable[FrozenTrial], settings: SearchSettings, age: Callable[[FrozenTrial], float]
) -> None:
    """Kill trials on this machine that exceed a limit, and record why."""
    for trial in trials:
        pid = pid_of(trial.system_attrs.get(queue.OWNER, "")) if is_open(trial) else None
        if pid is None:
            continue
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            beyond = _beyond(age(trial), process, settings)
            if beyond is not None:
                process.kill()
                how, reason = beyond
                retries = 0 if how is Outcome.OUT_OF_MEMORY else settings.retries
                queue.lose(study, trial, how, reason, retries)


def _beyond(age: float, process: psutil.Process, settings: SearchSettings) -> tuple[Outcome, str] | None:
    limit, memory = settings.timeout, settings.memory
    if limit and age > limit + LATE:
        return Outcome.TIMED_OUT, f"took longer than {limit:g} s"
    if memory and (taken := process.memory_info().rss / 2**30) > memory:
        return Outcome.OUT_OF_MEMORY, f"its process took {taken:.2f} GiB of memory, allowed {memory:g}"
    return None


def lose_lost(study: optuna.Study, retries: int) -> None:
    """Return trials whose process is gone to the queue, or record that they crashed."""
    for trial in queue.lost(study):
        reason = "its process was killed, or died; its last words are in NNI's folder of the trial"
        queue.lose(study, trial, Outcome.CRASHED, reason, retries)
