"""Keeps one worker process per device slot, and loses no trial whatever happens to the workers."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState

from chattn_nas.errors import FullDiskError, InputError, SearchStopped, StorageError
from chattn_nas.proxy import Outcome
from chattn_nas.search import queue
from chattn_nas.search.age import Ages
from chattn_nas.search.devices import Slot
from chattn_nas.search.doing import read_from
from chattn_nas.search.failures import IN_A_ROW, check_failures
from chattn_nas.search.owner import pid_of
from chattn_nas.search.processes import end_group, handed, is_stopped, memory_of, start_group
from chattn_nas.search.progress import Progress
from chattn_nas.search.worker import BROKEN, FULL, GRACE, INPUT, STORAGE
from chattn_nas.search.worker_log import WorkerLog
from chattn_nas.study._optuna import id_of, save_trial_note
from chattn_nas.study.attributes import study_attributes, trial_attributes
from chattn_nas.study.history import history
from chattn_nas.study.notes import note
from chattn_nas.study.run import RunDirectory
from chattn_nas.study.storage import HEARTBEAT, NO_SPACE, file_of, storage_error

log = logging.getLogger(__name__)

#: Seconds between two looks at the processes, and at the study.
LOOK, READ = 0.1, 1.0
#: Questions within this many seconds share one read of the study.
SAME = READ / 2
#: Seconds that the storage may be away: a database server restarts in less.
AWAY = 60.0
#: Seconds that a worker of ours may give the storage no sign of life, as this process counts them: while the machine
#: sleeps nobody counts. Its process lives, but it was stopped, or something in it holds all of it.
SILENT = 2 * HEARTBEAT
#: Seconds that a worker may take to end when nothing is left to do: one that just started loads torch first.
LINGER = 120.0


class Worker:
    """One worker process and the file with its output."""

    def __init__(self, slot: Slot, run: Path, trainer: str | None, propose: bool) -> None:
        self.slot = slot
        self.log = WorkerLog(run / "logs" / f"worker-{slot.index}.log")
        self.tells = self.log.path.with_suffix(".now")
        self.tells.unlink(missing_ok=True)
        command = [sys.executable, "-m", "chattn_nas.search.worker", str(run)]
        command += ["--device", slot.device, "--threads", str(slot.threads)]
        command += ["--parent", str(os.getpid()), "--tells", str(self.tells)]
        command += ["--trainer", trainer] if trainer else []
        command += [] if propose else ["--queued"]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(slot.threads))
        self.log.trim()
        with self.log.path.open("ab") as output:
            self.process = start_group(command, output, os.environ | handed() | threads)

    def output(self) -> str:
        """The last lines of its output."""
        return self.log.last_lines()

    def kill(self) -> None:
        """Kill it, with everything that it started."""
        end_group(self.process)

    @property
    def fate(self) -> str:
        """How it ended, in words."""
        code = self.process.returncode
        if code >= 0:
            return f"its worker ended with exit code {code}"
        name = signal.Signals(-code).name
        if name == "SIGKILL":  # by name: Windows has none
            return "its worker was killed (SIGKILL); where nobody did so, the system lacked memory"
        return f"its worker died of {name}"


class Supervisor:
    """Runs workers until the target number of trials has ended.

    Args:
        run: The run.
        slots: The slots, one worker each.
        progress: Progress display.
        trainer: ``module:factory`` of your own trainer.
        propose: ``False`` runs only waiting trials, and ends when none is open.
    """

    def __init__(
        self,
        run: RunDirectory,
        slots: list[Slot],
        progress: Progress,
        trainer: str | None = None,
        *,
        propose: bool = True,
    ) -> None:
        self.run_, self.slots, self.progress, self.trainer, self.propose = run, slots, progress, trainer, propose
        self.study, self.settings = run.study, run.spec.search
        self.workers: dict[int, Worker] = {}
        self.idle_deaths = self.cut_off = 0
        self.ages = Ages()
        self.silent_since: dict[int, float] = {}
        self.stopped_since: dict[int, float] = {}
        self.done_since: float | None = None

    def run(self) -> None:
        """Run the workers to the end of the search.

        Raises:
            SearchStopped: Trials keep failing, or workers fail before they have a trial.
            InputError: A worker found the spec, the data or the run unusable.
            FullDiskError: A process can write no more.
            KeyboardInterrupt: Ctrl-C; the running trials were returned to the queue.
        """
        since, read, away = datetime.now(), 0.0, 0.0
        self.progress.workers = lambda: [
            read_from(worker.tells) | {"worker": index} for index, worker in sorted(self.workers.items())
        ]
        try:
            for slot in self.slots:
                self._start(slot)
            while self.workers:
                try:
                    for worker in list(self.workers.values()):
                        if worker.process.poll() is not None:
                            self._ended(worker)
                    if time.monotonic() - read >= READ:
                        read = time.monotonic()
                        self._look_after_trials()
                        self._look_after_workers()
                        self.progress.update()
                        check_failures(history(self.study, within=SAME), since)
                    away = 0.0
                except StorageInternalError as error:
                    said = storage_error(error, self.run_.storage_url)
                    if isinstance(said, FullDiskError):
                        raise said from error
                    if not away:
                        log.warning("%s; the search waits for it", said)
                    away = away or time.monotonic()
                    if self._free_the_storage():
                        away = 0.0
                    elif time.monotonic() - away > AWAY:
                        raise said from error
                    time.sleep(1.0)
                time.sleep(LOOK)
        finally:
            self._stop()

    def _start(self, slot: Slot) -> None:
        self.workers[slot.index] = Worker(slot, self.run_.directory, self.trainer, self.propose)

    def _ended(self, worker: Worker) -> None:
        """Handle the end of a worker: the search is complete, it is impossible, or the worker died and is replaced."""
        code, trials = worker.process.returncode, self._trials_of(worker, within=0.0)
        worker.kill()  # what it started may live on
        if code == INPUT and not trials:
            said = worker.output().splitlines()
            raise InputError(said[-1] if said else f"a worker could not start: see {worker.log.path}")
        for trial in trials:
            if code in (STORAGE, FULL):
                queue.give_back(self.study, id_of(trial))
            else:
                self._lose(trial, Outcome.CRASHED, worker.fate, worker)
        if code == FULL:
            raise FullDiskError(f"a worker of {self.run_.directory} could not write: {NO_SPACE}")
        if trials or code == 0:
            self.idle_deaths = self.cut_off = 0
        elif code == STORAGE:
            self._count_cut_off(worker)
        elif code != BROKEN:
            self._count_idle_death(worker)
        del self.workers[worker.slot.index]
        if code != 0:
            self._start(worker.slot)

    def _count_idle_death(self, worker: Worker) -> None:
        self.idle_deaths += 1
        if self.idle_deaths >= IN_A_ROW:
            said = (worker.output().splitlines() or ["it printed nothing"])[-1]
            raise SearchStopped(f"{IN_A_ROW} workers died before they had a trial: {worker.fate}; last line: {said}")

    def _count_cut_off(self, worker: Worker) -> None:
        """Count a lost connection. Workers take seconds to start, so a restarting server is back before the limit."""
        self.cut_off += 1
        if self.cut_off >= 2 * IN_A_ROW * len(self.slots):
            said = (worker.output().splitlines() or ["it printed nothing"])[-1]
            raise StorageError(f"the storage cannot be reached or written by any worker: {said}")

    def _look_after_trials(self) -> None:
        """Stop trials that exceed a limit; return trials that were lost elsewhere to the queue."""
        lost = queue.lost(self.study)
        silent = self._silent(lost)
        for worker in list(self.workers.values()):
            worker.log.trim()
            for trial in self._trials_of(worker):
                limit, memory, age = self.settings.timeout, self.settings.memory, self.ages(trial)
                if limit and age > limit + GRACE:
                    self._replace(worker, trial, Outcome.TIMED_OUT, f"took longer than {limit:g} s")
                elif memory and (taken := memory_of(worker.process.pid)) > memory:
                    reason = f"its worker took {taken:.2f} GiB of memory, allowed {memory:g}"
                    self._replace(worker, trial, Outcome.OUT_OF_MEMORY, reason)
                elif trial.number in silent:
                    reason = f"its worker gave no sign of life for {SILENT} s and was ended"
                    self._replace(worker, trial, Outcome.CRASHED, reason)
        for trial in lost:
            if pid_of(trial.system_attrs.get(queue.OWNER, "")) not in self._processes():
                self._lose(trial, Outcome.CRASHED, "its worker is gone", None)

    def _look_after_workers(self) -> None:
        """Replace workers that were suspended for long; end those that do not end by themselves when all is done."""
        now, stopped = time.monotonic(), [pid for pid in self._processes() if is_stopped(pid)]
        self.stopped_since = {pid: self.stopped_since.get(pid, now) for pid in stopped}
        done = queue.is_done(self.study, self.settings.trials, within=SAME)
        self.done_since = (self.done_since or now) if done else None
        for worker in list(self.workers.values()):
            trials, since = self._trials_of(worker), self.stopped_since.get(worker.process.pid, now)
            if now - since > SILENT:
                reason = f"its worker was stopped for {SILENT} s (SIGSTOP) and was ended"
                worker.kill()
                for trial in trials:
                    self._lose(trial, Outcome.CRASHED, reason, worker)
                del self.workers[worker.slot.index]
                self._start(worker.slot)
            elif not trials and self.done_since is not None and now - self.done_since > LINGER:
                worker.kill()
                del self.workers[worker.slot.index]

    def _free_the_storage(self) -> bool:
        """Replace workers that were suspended: one that writes then blocks an SQLite file for all others."""
        if file_of(self.run_.storage_url) is None:
            return False
        stopped = [worker for worker in self.workers.values() if is_stopped(worker.process.pid)]
        for worker in stopped:
            worker.kill()
            del self.workers[worker.slot.index]
            self._start(worker.slot)
        return bool(stopped)

    def _processes(self) -> list[int]:
        return [worker.process.pid for worker in self.workers.values()]

    def _silent(self, lost: list[FrozenTrial]) -> set[int]:
        """Trials of our workers that have been lost for long; a merely slow worker would have reported since."""
        now = time.monotonic()
        self.silent_since = {trial.number: self.silent_since.get(trial.number, now) for trial in lost}
        return {number for number, since in self.silent_since.items() if now - since > SILENT}

    def _replace(self, worker: Worker, trial: FrozenTrial, outcome: Outcome, reason: str) -> None:
        worker.kill()
        del self.workers[worker.slot.index]
        self._lose(trial, outcome, reason, worker)
        self._start(worker.slot)

    def _lose(self, trial: FrozenTrial, outcome: Outcome, reason: str, worker: Worker | None) -> None:
        stored = replace(trial_attributes(trial), reason=reason)
        stages = [stage["name"] for stage in study_attributes(self.study).stages]
        # More memory is not there the second time either.
        retries = 0 if outcome is Outcome.OUT_OF_MEMORY else self.settings.retries
        if trial.system_attrs.get(queue.LOST, 0) >= retries:
            stored = replace(stored, outcome=outcome)
        save_trial_note(self.study, id_of(trial), note(stored, stages, worker.output() if worker else ""))
        queue.lose(self.study, trial, outcome, reason, retries)

    def _trials_of(self, worker: Worker, within: float = SAME) -> list[FrozenTrial]:
        pid = worker.process.pid
        return [
            trial
            for trial in history(self.study, within).open.values()
            if trial.state is TrialState.RUNNING and pid_of(trial.system_attrs.get(queue.OWNER, "")) == pid
        ]

    def _stop(self) -> None:
        """Tell the workers to return their trials to the queue, and do it for those that cannot."""
        for worker in self.workers.values():
            with suppress(ProcessLookupError):
                worker.process.terminate()
        deadline = time.monotonic() + GRACE
        for worker in self.workers.values():
            try:
                worker.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
            with suppress(StorageInternalError):  # then the next session finds its trial lost
                for trial in self._trials_of(worker):
                    queue.give_back(self.study, id_of(trial))
        self.workers.clear()
