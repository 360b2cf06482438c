"""A tuner for NNI that proposes by the sampler and history of a run's study.

NNI imports this file by itself, with its folder on the path, and gives a tuner 10 s to answer. A slow machine needs
longer to import torch and this package, so that happens at the first question.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from chattn_nas.search.nni._nni import NoMoreTrialError, Tuner

if TYPE_CHECKING:
    from chattn_nas.search.search_study import SearchStudy
    from chattn_nas.space import SearchSpace


class StudyTuner(Tuner):
    """Proposes as the spec's sampler does, and learns from the study alone.

    Args:
        run: Directory of the run.
    """

    def __init__(self, run: str) -> None:
        self.run = run

    @cached_property
    def opened(self) -> tuple[SearchStudy, SearchSpace]:
        """The study with its sampler, and the space."""
        from chattn_nas.search.session import open_search_study, quiet_optuna
        from chattn_nas.study.run import RunDirectory

        quiet_optuna()
        run = RunDirectory(self.run)
        space = run.spec.search_space()
        return open_search_study(run.spec, run.storage_url, space), space

    def update_search_space(self, search_space: dict[str, Any]) -> None:
        """Do nothing: the space is the run's."""

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> dict[str, Any]:
        """Return a sample in NNI's form, with the waiting trial of the study that it belongs to.

        Raises:
            NoMoreTrialError: No further trial is needed.
        """
        study, space = self.opened
        from chattn_nas.search import queue
        from chattn_nas.search.nni.protocol import TRIAL
        from chattn_nas.search.nni.space import nni_sample
        from chattn_nas.search.owner import owner
        from chattn_nas.spec.spec import Spec
        from chattn_nas.study._optuna import id_of
        from chattn_nas.study.attributes import study_attributes

        target_trials = Spec.from_stored(dict(study_attributes(study).spec)).search.trials
        # NNI asks ahead: where there is no place, no trial is made that would only wait.
        trial = queue.add(study, target_trials, owner()) if queue.open_places(study, target_trials) else None
        if trial is None:
            raise NoMoreTrialError
        sample = nni_sample(space, space.sample(trial))
        assert sample is not None, "the sampler proposes from this space"
        queue.give_back(study, id_of(trial))
        return sample | {TRIAL: id_of(trial)}

    def receive_trial_result(self, parameter_id: int, parameters: dict[str, Any], value: Any, **kwargs: Any) -> None:
        """Do nothing: the trial has written its result into the study."""
