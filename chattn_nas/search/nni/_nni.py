"""The only door to NNI 3.0: everything that this package relies on, documented or not.

``tests/nni/test_nni_door.py`` names what broke. NNI has had no release since 2023; the version is pinned.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import nni
import psutil
from nni.experiment import Experiment, rest
from nni.experiment.config import ExperimentConfig
from nni.tuner import Tuner as Tuner

#: Among the command lines of the manager's children: its dispatcher, in which the tuner lives.
DISPATCHER = "--exp_params"
#: What an experiment says of itself.
FAILED, ENDED, EXHAUSTED = ("ERROR", "STOPPED"), "DONE", "TUNER_NO_MORE_TRIAL"
#: What a trial that is not over says.
OPEN = ("WAITING", "RUNNING")
NoMoreTrialError = nni.NoMoreTrialError


class Manager:
    """NNI's manager process and the one experiment that it holds.

    Args:
        config: An experiment in NNI's words.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.experiment = Experiment(ExperimentConfig(**config))
        self.port = 0

    @property
    def id(self) -> str:
        """NNI's name for the experiment."""
        return str(self.experiment.id)

    def start(self, port: int) -> int:
        """Start the manager, which listens on ``port``; return its process number."""
        self.port = port
        self.experiment.start(port)
        return int(self.experiment._proc.pid)

    def is_alive(self) -> bool:
        """Whether the manager's process is running."""
        return self.experiment._proc is not None and self.experiment._proc.poll() is None

    def has_tuner(self) -> bool:
        """Whether NNI's tuner is alive. Other children come and go and leave zombies, so each is asked by itself."""
        with suppress(psutil.Error):
            for child in psutil.Process(self.experiment._proc.pid).children(recursive=True):
                with suppress(psutil.Error):
                    if DISPATCHER in child.cmdline():
                        return True
        return False

    def status(self) -> str:
        """The manager's status of the experiment.

        Raises:
            OSError: It does not answer (whatever requests raises).
        """
        return str(self.experiment.get_status())

    def open_trials(self) -> int:
        """Return the trials that wait or run.

        Raises:
            OSError: The manager does not answer.
        """
        counts = self.experiment.get_job_statistics()
        return sum(count["trialJobNumber"] for count in counts if count["trialJobStatus"] in OPEN)

    def teach(self, known: Sequence[Mapping[str, Any]]) -> None:
        """Hand the tuner trials, as ``parameter`` and ``value``; NNI never answers before its first proposal."""
        rest.post(self.port, "/experiment/import-data", list(known))

    def allow(self, trials: int) -> None:
        """Set the experiment's number of trials."""
        self.experiment.update_max_trial_number(trials)

    def stop(self, seconds: float) -> None:
        """Ask the manager to stop, and wait a while; its processes may be alive even then."""
        atexit.unregister(self.experiment.stop)
        if self.experiment._proc is None:
            return

        def ask() -> None:
            with suppress(Exception):  # whatever it is, the processes are ended next
                rest.delete(self.port, "/experiment")
                self.experiment._proc.wait()

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(seconds)


def check_service(service: Mapping[str, Any]) -> None:
    """Have NNI look at a training service.

    Raises:
        Exception: NNI refuses it; each service has its own error.
    """
    ExperimentConfig(
        search_space={}, trial_command=":", trial_concurrency=1, tuner={"name": "Random"},
        training_service=dict(service),
    ).validate()  # fmt: skip


def experiment_of_trial() -> str:
    """The experiment that this process belongs to."""
    return str(nni.get_experiment_id())


def place_of_trial() -> int:
    """The number of this process among the trials of its experiment, from 0."""
    return int(nni.get_sequence_id())


def names_of_trial() -> dict[str, Any]:
    """NNI's name for the trial of this process, as the study stores it."""
    return {
        "nni_experiment": experiment_of_trial(),
        "nni_trial": nni.get_trial_id(),
        "nni_parameter_id": nni.trial._params["parameter_id"],  # NNI hands it on in no other way
    }


def next_parameters() -> dict[str, Any] | None:
    """Return NNI's proposal for this trial, ``None`` if it has none."""
    parameters: dict[str, Any] | None = nni.get_next_parameter()
    return parameters


def report_rung(score: float) -> None:
    """Report the score at a rung to NNI.

    Raises:
        OSError: The manager is gone.
    """
    nni.report_intermediate_result(score)


def report_end(score: float) -> None:
    """Report the final score to NNI.

    Raises:
        OSError: The manager is gone.
    """
    nni.report_final_result(score)
