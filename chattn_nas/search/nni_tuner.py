"""A tuner for NNI that asks the study of a run: its sampler, its history, its baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nni
from nni.tuner import Tuner

from chattn_nas.search import queue
from chattn_nas.search.job import Job
from chattn_nas.search.nni_trial import TRIAL
from chattn_nas.search.owner import owner
from chattn_nas.search.run import Run
from chattn_nas.search.session import open_search_study, quiet_optuna
from chattn_nas.space.nni import nni_sample


class StudyTuner(Tuner):
    """Proposes what the sampler of the spec does, and learns from the study alone.

    Args:
        run: Directory of the run.
    """

    def __init__(self, run: str) -> None:
        quiet_optuna()
        found = Run(Path(run))
        self.space = found.job.search_space()
        self.study = open_search_study(found.job, found.storage_url, self.space)

    def update_search_space(self, search_space: dict[str, Any]) -> None:
        """Nothing: the space is the run's."""

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> dict[str, Any]:
        """A sample in NNI's words, and the waiting trial of the study that it belongs to.

        Raises:
            NoMoreTrialError: All trials that were asked for have ended or run.
        """
        asked = Job.from_dict(self.study.user_attrs["spec"]).search.trials
        trial = queue.add(self.study, asked, owner())
        if trial is None:
            raise nni.NoMoreTrialError
        sample = nni_sample(self.space, self.space.sample(trial))
        assert sample is not None, "the sampler proposes from this space"
        queue.give_back(self.study, trial._trial_id)
        return sample | {TRIAL: trial._trial_id}

    def receive_trial_result(self, parameter_id: int, parameters: dict[str, Any], value: Any, **kwargs: Any) -> None:
        """Nothing: the trial told the study."""
