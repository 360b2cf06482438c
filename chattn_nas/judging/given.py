"""Runs a given list of trainings: nothing is proposed, stopped early, or refused for its cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chattn_nas.proxy import Outcome
from chattn_nas.search import search
from chattn_nas.search.session import Training, enqueue_trainings
from chattn_nas.space import NONE, SpaceSettings
from chattn_nas.space.settings import ALL
from chattn_nas.spec import Spec
from chattn_nas.study import RunDirectory
from chattn_nas.study.attributes import study_attributes, trial_attributes
from chattn_nas.study.record import Wording
from chattn_nas.study.trials import all_trials


def spec_of_given(spec: Spec, name: str, **search_settings: Any) -> Spec:
    """Return the spec of a study for a given list of trainings.

    Args:
        spec: Its backbone, data and proxy are taken over unchanged.
        name: Name of the study.
        search_settings: Keys of the section ``search`` that replace the spec's.
    """
    fixed = {"sampler": "random", "pruner": "none", "objectives": ["accuracy"], "constraints": {}}
    return spec.changed(
        name=name,
        space=SpaceSettings({ALL: [NONE]}),  # no training is drawn from it
        search=spec.search.changed(**fixed, **search_settings),
    )


def time_limit(spec: Spec, epochs: int) -> float | None:
    """Return the seconds that a training of that many epochs may take: the spec's limit, scaled by the length."""
    limit = spec.search.timeout
    return None if limit is None else limit * max(1.0, epochs / spec.proxy.rungs[-1])


def train_given(
    run: RunDirectory,
    trainings: Iterable[Training],
    wording: Wording,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> None:
    """Queue the trainings that a run lacks, and work until all of its trainings have ended.

    Args:
        run: A run whose spec comes from :func:`spec_of_given`.
        trainings: Architecture, hash, seed and label, as for :func:`enqueue_trainings`.
        wording: How the networks are named where they come from.
        workers: As for ``search``.
        progress: As for ``search``.

    Raises:
        SearchStopped: Trainings keep failing.
    """
    if study_attributes(run.study).searched is None:
        run.study.set_user_attr("searched", sorted(wording.searched))
        run.study.set_user_attr("defaults", wording.defaults)
    enqueue_trainings(run.study, trainings)
    outcomes = [trial_attributes(trial).outcome for trial in all_trials(run.study)]
    target_trials = sum(outcome is not Outcome.INFEASIBLE for outcome in outcomes)  # which no target counts
    search(run.spec, run=run.directory, trials=target_trials, workers=workers, progress=progress, baselines=False)
