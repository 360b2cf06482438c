"""Starts one NNI experiment, watches it, and leaves nothing of it: ``python -m chattn_nas.search.nni.monitor RUN``.

It is a process of its own, so that it can still clean up when the search that started it dies: it then reads the end
of its standard input. Told to stop, it lets the running trials go back to the queue. Its exit code says how it ended.
"""

from __future__ import annotations

import argparse
import atexit
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from nni.experiment import Experiment, rest
from nni.experiment.config import ExperimentConfig
from optuna.trial import FrozenTrial

from chattn_nas.errors import first_line
from chattn_nas.files import replacing
from chattn_nas.proxy import Outcome
from chattn_nas.search import queue
from chattn_nas.search.nni.config import experiment
from chattn_nas.search.nni.processes import end
from chattn_nas.search.nni.protocol import DIED, DONE, EXHAUSTED, MARK, OUT_OF_TIME, STATE
from chattn_nas.search.nni.space import nni_sample
from chattn_nas.search.nni.trial import accuracy_of
from chattn_nas.search.owner import pid_of
from chattn_nas.search.session import quiet_optuna
from chattn_nas.space import Architecture
from chattn_nas.spec.plugins import take_path
from chattn_nas.study._optuna import id_of
from chattn_nas.study.attributes import trial_attributes
from chattn_nas.study.run import RunDirectory
from chattn_nas.study.trials import all_trials, is_open, outcome

log = logging.getLogger(__name__)

LOOK = 1.0
#: Seconds that NNI may leave a question unanswered, or have nothing to do without saying that it is done.
SILENT, IDLE = 30.0, 120.0
#: Seconds that a trial has beyond its limit to end itself, and that NNI has to stop.
LATE, STOPPING = 10.0, 30.0
#: Tuners that take in what is known; the others of NNI pass over it, and ``optuna`` has the study itself.
LEARNING = ("tpe", "grid")


class Monitor:
    """One experiment over a run.

    Args:
        run: Its study exists.
        trainer: ``module:factory`` of another way to train.
        seconds: After so many it is stopped.
    """

    def __init__(self, run: RunDirectory, trainer: str | None, seconds: float | None) -> None:
        self.run_, self.study, self.settings = run, run.study, run.spec.search
        self.until = float("inf") if seconds is None else time.monotonic() + seconds
        config = experiment(run, trainer=trainer)
        self.places = config["maxTrialNumber"]
        self.folder = run.directory / "nni"
        self.experiment = Experiment(ExperimentConfig(**config))
        self.known = self._known() if self.settings.nni_tuner in LEARNING else []
        self.refused, self.busy, self.heard = 0, time.monotonic(), time.monotonic()

    def keep(self, stop: threading.Event) -> int:
        """Run the experiment to its end.

        Returns:
            One of the exit codes.
        """
        try:
            self._start()
            code, reason = self._watch(stop)
        except Exception as error:
            log.exception("the experiment failed")
            code, reason = DIED, f"{type(error).__name__}: {first_line(error)}"
        finally:
            self._end()
        self._tell(reason=reason)
        return code

    def _start(self) -> None:
        self.port = self.settings.nni_port or _free_port()
        self.experiment.start(self.port)
        self.manager = psutil.Process(self.experiment._proc.pid)
        self._tell(experiment=self.experiment.id, port=self.port, manager=self.manager.pid)

    def _watch(self, stop: threading.Event) -> tuple[int, str]:
        while not stop.wait(LOOK):
            if time.monotonic() > self.until:
                return OUT_OF_TIME, "nni_duration is over"
            if self.experiment._proc.poll() is not None:
                return DIED, "NNI's manager died"
            if not self._has_dispatcher():
                return DIED, "NNI's tuner died"
            self._look_after_trials()
            try:
                status = self.experiment.get_status()
                busy = self._busy_trials()
                self.heard = time.monotonic()
            except OSError as error:  # what requests raises
                if time.monotonic() - self.heard > SILENT:
                    return DIED, f"NNI's manager does not answer: {error}"
                continue
            if busy:
                self.busy = time.monotonic()
                self._teach()
            if status in ("ERROR", "STOPPED"):
                return DIED, f"NNI's status is {status}"
            if status == "DONE":
                return DONE, ""
            if status == "TUNER_NO_MORE_TRIAL" and not busy:
                return EXHAUSTED, "NNI's tuner has no more to propose"
            if time.monotonic() - self.busy > IDLE:
                return DIED, f"NNI starts no more trials, its status is {status}"
            self._replace_refused()
        return DONE, "stopped"

    def _teach(self) -> None:
        """Tell the tuner what is known, once it has proposed something: before, NNI never answers."""
        if self.known:
            rest.post(self.port, "/experiment/import-data", self.known)
        self.known = []

    def _look_after_trials(self) -> None:
        """Give back or record what was lost; end what takes too long or too much."""
        limit, memory, retries = self.settings.timeout, self.settings.memory, self.settings.retries
        for trial in self._mine():
            pid = pid_of(trial.system_attrs.get(queue.OWNER, "")) if is_open(trial) else None
            if pid is None:
                continue
            started = trial.datetime_start.timestamp() if trial.datetime_start else time.time()
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                if limit and time.time() - started > limit + LATE:
                    process.kill()
                    queue.lose(self.study, trial, Outcome.TIMED_OUT, f"took longer than {limit:g} s", retries)
                elif memory and (taken := process.memory_info().rss / 2**30) > memory:
                    process.kill()
                    reason = f"its process took {taken:.2f} GiB of memory, allowed {memory:g}"
                    queue.lose(self.study, trial, Outcome.OUT_OF_MEMORY, reason, 0)
        for trial in queue.lost(self.study):
            reason = "its process was killed, or died; its last words are in NNI's folder of the trial"
            queue.lose(self.study, trial, Outcome.CRASHED, reason, retries)

    def _replace_refused(self) -> None:
        """Networks refused for their costs are free: NNI may try as many more."""
        refused = sum(outcome(trial) is Outcome.INFEASIBLE for trial in self._mine())
        if refused > self.refused:
            self.experiment.update_max_trial_number(self.places + refused)
            self.refused = refused

    def _mine(self) -> list[FrozenTrial]:
        return [t for t in all_trials(self.study) if trial_attributes(t).nni_experiment == self.experiment.id]

    def _busy_trials(self) -> int:
        counts = self.experiment.get_job_statistics()
        return sum(c["trialJobNumber"] for c in counts if c["trialJobStatus"] in ("WAITING", "RUNNING"))

    def _has_dispatcher(self) -> bool:
        with suppress(psutil.Error):
            return any("--exp_params" in child.cmdline() for child in self.manager.children(recursive=True))
        return False

    def _known(self) -> list[dict[str, Any]]:
        space = self.run_.spec.search_space()
        found = []
        for trial in all_trials(self.study):
            proposed = trial_attributes(trial).architecture
            if outcome(trial) in (Outcome.COMPLETE, Outcome.PRUNED) and proposed is not None:
                sample = nni_sample(space, Architecture.from_dict(proposed))
                if sample is not None:
                    found.append({"parameter": sample, "value": accuracy_of(trial)})
        return found

    def _end(self) -> None:
        """Ask NNI to stop, then make sure of it; trials that could not give themselves back are given back."""
        atexit.unregister(self.experiment.stop)
        if self.experiment._proc is not None:
            asking = threading.Thread(target=self._ask_to_stop, daemon=True)
            asking.start()
            asking.join(STOPPING)
        end(os.environ[MARK])
        for trial in queue.lost(self.study):
            queue.give_back(self.study, id_of(trial))

    def _ask_to_stop(self) -> None:
        with suppress(Exception):  # whatever it is, the processes are ended next
            rest.delete(self.port, "/experiment")
            self.experiment._proc.wait()

    def _tell(self, **state: Any) -> None:
        path = self.folder / STATE
        known = json.loads(path.read_text()) if path.exists() else {}
        with replacing(path) as partial:
            partial.write_text(json.dumps(known | state))


def _free_port() -> int:
    """A port such that the next one, which NNI takes for machines elsewhere, is free too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("", 0))
            port: int = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                second.bind(("", port + 1))
                return port


def main() -> None:
    """Parse the command line and keep the experiment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--trainer")
    parser.add_argument("--seconds", type=float)
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    quiet_optuna()
    take_path()
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda signum, frame: stop.set())

    def until_the_search_ends() -> None:
        while os.read(0, 1024):
            pass
        stop.set()

    threading.Thread(target=until_the_search_ends, daemon=True).start()
    sys.exit(Monitor(RunDirectory(arguments.run), arguments.trainer, arguments.seconds).keep(stop))


if __name__ == "__main__":
    main()
