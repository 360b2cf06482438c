"""Searches with NNI: baselines in our own workers, then the other trials in NNI experiments, one at a time.

Each experiment is run by a process of its own (``nni.monitor``), so that nothing of NNI outlives the search.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
import uuid
from datetime import datetime
from typing import Any

from chattn_nas.errors import InputError, MissingExtraError, SearchStopped, first_line
from chattn_nas.search import queue
from chattn_nas.search.failures import check_failures
from chattn_nas.search.nni.config import slots, training_service
from chattn_nas.search.nni.protocol import DONE, EXHAUSTED, MARK, OUT_OF_TIME, STATE
from chattn_nas.search.processes import handed
from chattn_nas.search.progress import Progress
from chattn_nas.search.supervisor import Supervisor
from chattn_nas.spec.search_settings import LOCAL
from chattn_nas.spec.spec import Spec
from chattn_nas.study._optuna import id_of
from chattn_nas.study.history import history
from chattn_nas.study.run import RunDirectory
from chattn_nas.study.trials import all_trials, counts, is_open

LOOK = 0.5
#: So many experiments in a row may end without a trial: NNI waits 3 s for its own manager, less than a busy machine
#: takes to start it.
IN_A_ROW = 3
#: Seconds that the monitor has to stop NNI; it needs less than its own limits together.
STOPPING = 60.0


def require_nni(spec: Spec) -> None:
    """Check that NNI is installed and knows the training service of a spec.

    Raises:
        MissingExtraError: NNI is not installed.
        InputError: It does not know the training service.
    """
    if importlib.util.find_spec("nni") is None:
        raise MissingExtraError('engine nni needs NNI 3.0: pip install "chattn-nas[nni]"', where=("search", "engine"))
    if spec.search.training_service == LOCAL:
        return
    service = training_service(spec)
    from chattn_nas.search.nni._nni import check_service

    try:
        check_service(service)
    except Exception as error:  # each service has its own
        reason = first_line(error)
        raise InputError(
            f"NNI refuses training_service of platform {service.get('platform')!r}: {reason}",
            where=("search", "training_service"),
        ) from None


def search_with_nni(run: RunDirectory, progress: Progress, trainer: str | None = None) -> None:
    """Search until the target number of trials has ended, NNI's tuner has no more proposals, or time is up.

    Args:
        run: The run.
        progress: Progress display.
        trainer: ``module:factory`` of your own trainer.

    Raises:
        SearchStopped: Trials keep failing, or NNI ends without a trial.
        KeyboardInterrupt: Ctrl-C; NNI was stopped and the running trials were returned to the queue.
    """
    settings, since = run.spec.search, time.monotonic()
    exhausted, fruitless, before = False, 0, None
    while True:
        if any(map(is_open, all_trials(run.study))):
            Supervisor(run, slots(run.spec), progress, trainer, propose=False).run()
        if exhausted or queue.is_done(run.study, settings.trials):
            return
        left = None
        if settings.nni_duration is not None:
            left = max(0.0, settings.nni_duration - (time.monotonic() - since))
        before = _ended(run) if before is None else before
        experiment = NniExperiment(run, trainer, left)
        code = experiment.follow(progress)
        reason = experiment.state().get("reason") or f"its monitor ended with exit code {code}: see {experiment.log}"
        if code == OUT_OF_TIME or (code == EXHAUSTED and settings.nni_tuner != "optuna"):
            progress.say(f"{reason}: {_ended(run)} of {settings.trials} trials")
            if code == OUT_OF_TIME:
                return
            exhausted = True
            continue
        fruitless = 0 if _ended(run) > before else fruitless + 1
        before = _ended(run)
        if fruitless == IN_A_ROW:
            raise SearchStopped(f"NNI ended {IN_A_ROW} times without a trial: {reason}; see {experiment.log}")
        if code not in (DONE, EXHAUSTED):  # our own tuner had no place left: a trial refused for its costs gives one
            progress.say(f"{reason}; going on with a new experiment")


class NniExperiment:
    """One experiment, as seen by the search that started it."""

    def __init__(self, run: RunDirectory, trainer: str | None, seconds: float | None) -> None:
        self.run, self.mark = run, uuid.uuid4().hex
        self.log = run.directory / "logs" / "nni.log"
        self.log.parent.mkdir(exist_ok=True)
        self.path = run.directory / "nni" / STATE
        self.path.unlink(missing_ok=True)
        command = [sys.executable, "-m", "chattn_nas.search.nni.monitor", str(run.directory)]
        command += ["--trainer", trainer] if trainer else []
        command += [] if seconds is None else ["--seconds", str(seconds)]
        with self.log.open("ab") as output:
            self.monitor = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches the whole terminal: the monitor is told by us
                env=os.environ | handed() | {MARK: self.mark},
            )

    def state(self) -> dict[str, Any]:
        """The monitor's state: ``experiment``, ``port``, ``manager``, and ``reason`` once it ended."""
        return dict(json.loads(self.path.read_text())) if self.path.exists() else {}

    def follow(self, progress: Progress) -> int:
        """Show progress until the experiment ends; stop it on an interrupt.

        Returns:
            The exit code of its monitor.
        """
        since, known = datetime.now(), False
        try:
            while self.monitor.poll() is None:
                if not known and (port := self.state().get("port")):
                    progress.say(
                        f"NNI's web page: http://127.0.0.1:{port}; it listens on all interfaces, without a login: "
                        "whoever reaches this port can start commands here"
                    )
                    known = True
                progress.update()
                check_failures(history(self.run.study), since)
                time.sleep(LOOK)
            return self.monitor.returncode
        finally:
            self._stop()

    def _stop(self) -> None:
        assert self.monitor.stdin is not None
        self.monitor.stdin.close()
        try:
            self.monitor.wait(STOPPING)
        except subprocess.TimeoutExpired:
            self.monitor.kill()
            self.monitor.wait()
        if self.monitor.returncode < 0:  # it was killed and could not clean up
            from chattn_nas.search.nni.processes import end

            end(self.mark)
            for trial in queue.lost(self.run.study):
                queue.give_back(self.run.study, id_of(trial))


def _ended(run: RunDirectory) -> int:
    return sum(map(counts, all_trials(run.study)))
