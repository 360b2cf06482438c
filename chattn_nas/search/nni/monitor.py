"""Runs one NNI experiment and cleans up after it: ``python -m chattn_nas.search.nni.monitor RUN``.

It is a process of its own, so that it can clean up even if the search that started it dies; it notices that by the end
of its standard input. When it is stopped, the running trials return to the queue. Its exit code says how the experiment
ended.
"""

from __future__ import annotations

import argparse
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

from optuna.trial import FrozenTrial

from chattn_nas._lazy import leave_garbage
from chattn_nas.errors import first_line
from chattn_nas.files import replacing
from chattn_nas.proxy import Outcome
from chattn_nas.search import queue
from chattn_nas.search.age import Ages
from chattn_nas.search.nni import _nni
from chattn_nas.search.nni.config import experiment
from chattn_nas.search.nni.overdue import end_overdue, lose_lost
from chattn_nas.search.nni.processes import end
from chattn_nas.search.nni.protocol import DIED, DONE, EXHAUSTED, MARK, OUT_OF_TIME, STATE
from chattn_nas.search.nni.space import nni_sample
from chattn_nas.search.nni.trial import score_of
from chattn_nas.search.session import quiet_optuna
from chattn_nas.space import Architecture
from chattn_nas.spec.plugins import take_path
from chattn_nas.study._optuna import id_of
from chattn_nas.study.attributes import trial_attributes
from chattn_nas.study.run import RunDirectory
from chattn_nas.study.trials import all_trials, outcome

log = logging.getLogger(__name__)

LOOK = 1.0
#: Seconds that NNI may leave a question unanswered, or have nothing to do without saying that it is done.
SILENT, IDLE = 30.0, 120.0
#: Seconds that NNI has to stop.
STOPPING = 30.0
#: Tuners that take in what is known; the others of NNI pass over it, and ``optuna`` has the study itself.
LEARNING = ("tpe", "grid")

#: Exit code and reason.
Ending = tuple[int, str]


class Monitor:
    """One experiment over a run.

    Args:
        run: A run whose study exists.
        trainer: ``module:factory`` of your own trainer.
        seconds: Time limit of the experiment.
    """

    def __init__(self, run: RunDirectory, trainer: str | None, seconds: float | None) -> None:
        self.study, self.settings = run.study, run.spec.search
        self.until = float("inf") if seconds is None else time.monotonic() + seconds
        config = experiment(run, trainer=trainer)
        self.places = config["maxTrialNumber"]
        self.state = run.directory / "nni" / STATE
        self.manager = _nni.Manager(config)
        self.known = _known(run) if self.settings.nni_tuner in LEARNING else []
        self.ages = Ages()
        self.refused, self.busy, self.heard = 0, time.monotonic(), time.monotonic()

    def run(self, stop: threading.Event) -> int:
        """Run the experiment to its end.

        Returns:
            One of the exit codes.
        """
        try:
            port = self.settings.nni_port or _free_port()
            pid = self.manager.start(port)
            self._note(experiment=self.manager.id, port=port, manager=pid)
            code, reason = self._watch(stop)
        except Exception as error:
            log.exception("the experiment failed")
            code, reason = DIED, f"{type(error).__name__}: {first_line(error)}"
        finally:
            self._end()
        self._note(reason=reason)
        return code

    def _watch(self, stop: threading.Event) -> Ending:
        """Look after the trials until the experiment ends, or this process is told to stop."""
        while not stop.wait(LOOK):
            ending = self._death()
            if ending is None:
                end_overdue(self.study, self._mine(), self.settings, self.ages)
                lose_lost(self.study, self.settings.retries)
                ending = self._ask()
            if ending is not None:
                return ending
        return DONE, "stopped"

    def _death(self) -> Ending | None:
        """The ending, if time is up or a process of NNI is gone."""
        if time.monotonic() > self.until:
            return OUT_OF_TIME, "nni_duration is over"
        if not self.manager.is_alive():
            return DIED, "NNI's manager died"
        if not self.manager.has_tuner():
            return DIED, "NNI's tuner died"
        return None

    def _ask(self) -> Ending | None:
        """Ask NNI for the status; while the experiment runs, teach its tuner and replace refused trials."""
        try:
            status, busy = self.manager.status(), self.manager.open_trials()
        except OSError as error:
            silent = time.monotonic() - self.heard > SILENT
            return (DIED, f"NNI's manager does not answer: {error}") if silent else None
        self.heard = time.monotonic()
        if busy:
            self.busy = self.heard
            self._teach()
        ending = self._ending(status, bool(busy))
        if ending is None:
            self._replace_refused()
        return ending

    def _ending(self, status: str, busy: bool) -> Ending | None:
        """How the experiment ended, by its status in NNI; ``None`` while it runs."""
        if status in _nni.FAILED:
            return DIED, f"NNI's status is {status}"
        if status == _nni.ENDED:
            return DONE, ""
        if status == _nni.EXHAUSTED and not busy:
            return EXHAUSTED, "NNI's tuner has no more to propose"
        if self.heard - self.busy > IDLE:
            return DIED, f"NNI starts no more trials, its status is {status}"
        return None

    def _teach(self) -> None:
        """Tell the tuner all known results, once it has made a proposal."""
        if self.known:
            self.manager.teach(self.known)
        self.known = []

    def _replace_refused(self) -> None:
        """Let NNI try as many more networks as were refused for their costs, since those are free."""
        refused = sum(outcome(trial) is Outcome.INFEASIBLE for trial in self._mine())
        if refused > self.refused:
            self.manager.allow(self.places + refused)
            self.refused = refused

    def _mine(self) -> list[FrozenTrial]:
        return [t for t in all_trials(self.study) if trial_attributes(t).nni_experiment == self.manager.id]

    def _end(self) -> None:
        """Ask NNI to stop, then make sure of it; return trials to the queue that could not do so themselves."""
        self.manager.stop(STOPPING)
        end(os.environ[MARK])
        for trial in queue.lost(self.study):
            queue.give_back(self.study, id_of(trial))

    def _note(self, **state: Any) -> None:
        """Add to the file that the search reads."""
        known = json.loads(self.state.read_text()) if self.state.exists() else {}
        with replacing(self.state) as partial:
            partial.write_text(json.dumps(known | state))


def _known(run: RunDirectory) -> list[dict[str, Any]]:
    """The trained trials in the form that a tuner takes."""
    space, samples = run.spec.search_space(), []
    for trial in all_trials(run.study):
        proposed = trial_attributes(trial).architecture
        if outcome(trial) in (Outcome.COMPLETE, Outcome.PRUNED) and proposed is not None:
            sample = nni_sample(space, Architecture.from_dict(proposed))
            if sample is not None:
                samples.append({"parameter": sample, "value": score_of(trial)})
    return samples


def _free_port() -> int:
    """Find a free port whose successor, which NNI uses for other machines, is free too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("", 0))
            port: int = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                second.bind(("", port + 1))
                return port


def main() -> None:
    """Parse the command line and run the experiment."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--trainer")
    parser.add_argument("--seconds", type=float)
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    leave_garbage()
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
    sys.exit(Monitor(RunDirectory(arguments.run), arguments.trainer, arguments.seconds).run(stop))


if __name__ == "__main__":
    main()
