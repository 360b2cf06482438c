"""One trial of an NNI experiment: ``python -m chattn_nas.search.nni.trial RUN``, started by NNI.

NNI 3.0 hands parameters to whichever process asks first, and attributes them to the trial that it started first. Its
tables are then wrong, and its tuners crash on results that arrive under another trial's name. So trials ask in the
order in which they were started, and record in the Optuna study what they really trained. They report a final accuracy
whatever happens, 0 if there is none.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import optuna
from torch import nn, set_num_threads

from chattn_nas._lazy import leave_garbage
from chattn_nas.proxy import Measurement, Report, Rung
from chattn_nas.search import queue
from chattn_nas.search.nni import _nni
from chattn_nas.search.nni.config import slots
from chattn_nas.search.nni.protocol import TRIAL
from chattn_nas.search.nni.space import read_nni
from chattn_nas.search.search_study import GIVEN
from chattn_nas.search.session import quiet_optuna, start
from chattn_nas.search.slot_lock import slot_of
from chattn_nas.search.trainer import Costs, Trainer, import_trainer, trainer_of
from chattn_nas.search.trial import TrialRunner
from chattn_nas.space import Architecture, Stage
from chattn_nas.spec.plugins import take_path
from chattn_nas.spec.spec import Spec
from chattn_nas.study._optuna import id_of, set_study_system, signs_of_life, study_system, trial_now
from chattn_nas.study.attributes import study_attributes, trial_attributes
from chattn_nas.study.run import RunDirectory

log = logging.getLogger(__name__)

WORST = 0.0
#: Seconds for NNI to take in the last result: where it hears first that the trial ended, its tuner may die.
FAREWELL = 1.0
#: Seconds to wait for the trial before this one to ask NNI: one that takes longer was killed before it could.
PATIENCE = 60.0


def main() -> None:
    """Parse the command line, ask NNI for parameters, train, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--trainer")
    arguments = parser.parse_args()
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, _terminate)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    leave_garbage()
    quiet_optuna()
    take_path()
    run = RunDirectory(arguments.run)
    parameters = ask(run.study)
    if parameters is None:
        sys.exit("NNI has no parameters for this trial")
    score = WORST
    try:
        score = run_trial(run, parameters, arguments.trainer)
    except Exception:
        log.exception("the trial could not be run")
    _tell(_nni.report_end, score)
    time.sleep(FAREWELL)


def _tell(report: Callable[[float], None], score: float) -> None:
    """Report to NNI; if its manager is gone the training goes on, since the study is the record."""
    try:
        report(score)
    except OSError as error:  # of the connection
        log.warning("NNI's manager does not answer: %s", error)


def ask(study: optuna.Study) -> dict[str, Any] | None:
    """Wait for this trial's turn, and ask for its parameters; ``None`` if NNI has none."""
    key = f"chattn:nni:{_nni.experiment_of_trial()}"
    turn, deadline = _nni.place_of_trial(), time.monotonic() + PATIENCE
    while study_system(study, key, -1) < turn - 1 and time.monotonic() < deadline:
        time.sleep(0.2)
    parameters = _nni.next_parameters()
    set_study_system(study, key, turn)
    return parameters


def run_trial(run: RunDirectory, parameters: dict[str, Any], trainer: str | None = None) -> float:
    """Train what NNI proposes, on a free device slot, and record it in the study.

    Returns:
        The score (0 to 1) for NNI: the mean over seeds, the last rung of a pruned trial, else 0.

    Raises:
        InputError: The run's data or backbone cannot be used, or the parameters belong to another space.
    """
    spec = run.spec
    with slot_of(slots(spec), f"{spec.name}-{spec.hash}") as slot:
        set_num_threads(slot.threads)
        make = import_trainer(trainer) if trainer else trainer_of(spec)
        runner = start(spec, run.storage_url, run.directory, slot.device,
                       lambda spec, device: Reporting(make(spec, device)))  # fmt: skip
        trial = _trial(runner, parameters)
        if trial is None:
            log.warning("all trials that were asked for have ended or run: this one is not needed")
            return WORST
        with signs_of_life(runner.study, id_of(trial)):
            runner.run(trial)
        return score_of(trial_now(runner.study, trial))


def score_of(trial: optuna.trial.FrozenTrial) -> float:
    """The result of an ended trial for NNI: a score from 0 to 1."""
    if len(trial.values or ()) == 1:
        return float(trial.values[0])
    measured = trial_attributes(trial).measurement if trial.state.name != "FAIL" else None
    return measured.rungs[-1].score if measured is not None and measured.rungs else WORST


def _trial(runner: TrialRunner, parameters: dict[str, Any]) -> optuna.Trial | None:
    """The study's trial for these parameters, running under this process."""
    study, space = runner.study, runner.space
    names = _nni.names_of_trial()
    if TRIAL in parameters:
        trial = queue.take_one(study, parameters[TRIAL], runner.owner)
        if trial is not None:
            for name, value in names.items():
                trial.set_user_attr(name, value)
        return trial
    architecture = read_nni(space, parameters)
    params = space.params(architecture)
    given = {GIVEN: architecture.to_dict()} if params is None else {}
    target_trials = Spec.from_stored(dict(study_attributes(study).spec)).search.trials
    return queue.add(study, target_trials, runner.owner, params or {}, names | given)


class Reporting:
    """A trainer that reports the score at every rung to NNI."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.data = getattr(trainer, "data", None)  # the study keeps what it is scored by

    @property
    def stages(self) -> Sequence[Stage]:
        """Stages of the backbone."""
        return self.trainer.stages

    def build(self, architecture: Architecture, seed: int) -> nn.Module:
        """Build the network, initialised under the seed."""
        return self.trainer.build(architecture, seed)

    def costs(self, network: nn.Module) -> Costs:
        """Count the network's costs."""
        return self.trainer.costs(network)

    def train(self, network: nn.Module, seed: int, report: Report) -> Measurement:
        """Train the network in place."""

        def reported(index: int, rung: Rung) -> bool:
            _tell(_nni.report_rung, rung.score)
            return report(index, rung)

        return self.trainer.train(network, seed, reported)


def _terminate(signum: int, frame: FrameType | None) -> None:
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, signal.SIG_IGN)
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    main()
