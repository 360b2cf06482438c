"""One session of a run in one process: opens the study, sets up the trainer, queues the baselines."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from chattn_nas import attention, tasks
from chattn_nas.data import Data
from chattn_nas.errors import InputError
from chattn_nas.proxy import Outcome
from chattn_nas.search.owner import owner
from chattn_nas.search.pruning import build_pruner
from chattn_nas.search.same import check_same, warn_of_changes
from chattn_nas.search.samplers import build_sampler, shown_to
from chattn_nas.search.search_study import GIVEN, SearchStudy
from chattn_nas.search.trainer import (
    Costs,
    Trainer,
    TrainerFactory,
    hardware,
    loaded_weights,
    reference_costs,
    trainer_of,
    versions,
)
from chattn_nas.search.trial import TrialRunner
from chattn_nas.space import SearchSpace
from chattn_nas.spec.spec import Spec
from chattn_nas.study import _optuna
from chattn_nas.study.attributes import study_attributes, trial_attributes
from chattn_nas.study.checkpoints import Checkpoints
from chattn_nas.study.exclusive import exclusively
from chattn_nas.study.metric import FLOOR, METRIC, UNIT
from chattn_nas.study.record import searched_in
from chattn_nas.study.storage import open_storage
from chattn_nas.study.trials import all_trials, is_open, outcome

#: A training to queue: a canonical architecture from :meth:`Architecture.to_dict`, its hash, seed and label.
Training = tuple[Mapping[str, Any], str, int, str]


def open_search_study(spec: Spec, storage_url: str, space: SearchSpace) -> SearchStudy:
    """Open the study with the sampler and pruner of the spec."""
    sampler, pruner = proposals_of(spec, space)
    return SearchStudy(spec.name, open_storage(storage_url), sampler, pruner, shown_to(sampler, space))


def proposals_of(spec: Spec, space: SearchSpace | None = None) -> tuple[BaseSampler, BasePruner]:
    """Make the sampler and the pruner of a spec.

    Raises:
        InputError: One of them cannot be made or does not fit the space; ``where`` is its place in the spec.
    """
    space = space or spec.search_space()
    try:
        return build_sampler(spec.search, space), build_pruner(spec.search, spec.proxy.rungs, space)
    except InputError as error:
        raise error.at("search") from None


def start(
    spec: Spec, storage_url: str, directory: Path, device: str | None, trainer: TrainerFactory | None = None
) -> TrialRunner:
    """Set up everything that trials share.

    Args:
        spec: The spec of the search.
        storage_url: Where the study is stored.
        directory: Where checkpoints go.
        device: Device to train on; ``None`` takes the proxy's.
        trainer: Function that makes the trainer; the spec's by default.
    """
    space = spec.search_space()
    study = open_search_study(spec, storage_url, space)
    made = (trainer or trainer_of(spec))(spec, device)
    data = getattr(made, "data", None)  # another trainer may have none
    if data is None and spec.trainer is not None:
        data = tasks.load(spec.task, spec.data, data_on="disk")
    stored = study_attributes(study)
    if stored.reference is None:
        facts = _facts(made, spec, space, data)
        if stored.searched is not None:  # of a confirmation: its networks are named as in the search
            del facts["searched"], facts["defaults"]
        check_bounds(spec, space, facts["reference"])
        with exclusively(_optuna.storage_of(study), f"{study.study_name}: reference"):
            if study_attributes(study).reference is None:  # two workers measure two latencies: the first one holds
                for name, value in facts.items():
                    study.set_user_attr(name, value)
    else:
        warn_of_changes(study, {"versions": versions(), "hardware": hardware()})
    if isinstance(data, tasks.TaskData):
        check_same(study, spec)
    reference = dict(study_attributes(study).reference or {})
    check_bounds(spec, space, reference)
    checkpoints = Checkpoints(directory / "checkpoints", spec.search.keep_checkpoints)
    return TrialRunner(spec, study, space, made, reference, checkpoints, owner())


def _facts(trainer: Trainer, spec: Spec, space: SearchSpace, data: Data | None) -> dict[str, Any]:
    """Attributes that the study's first worker stores; ``reference`` comes last and shows that they are complete."""
    facts: dict[str, Any] = {
        "stages": [stage.to_dict() for stage in trainer.stages],
        "versions": versions(),
        "hardware": hardware(),
        "searched": sorted(searched_in(space.parameters())),
        "defaults": {name: attention.get(name).defaults for name in sorted(_types(space))},
    }
    loaded = loaded_weights(trainer, spec)
    if loaded is not None:
        facts["loaded_weights"] = loaded
    if data is not None:
        facts["validation_images"] = len(data.validation)
    if isinstance(data, tasks.TaskData):
        task = data.task
        facts |= {METRIC: task.unit.name, UNIT: task.unit.to_dict(), FLOOR: task.floor()}
    return facts | {"reference": reference_costs(trainer, spec)}


def _types(space: SearchSpace) -> set[str]:
    """Every attention type that a trial may have, baselines included."""
    networks = [stages.stages for _, stages in space.baselines()]
    return {choice.type for choices in (*space.canonical, *networks) for choice in choices}


def check_bounds(spec: Spec, space: SearchSpace, reference: Costs) -> None:
    """Refuse constraints that no network of the space can satisfy, before any is tried.

    Raises:
        InputError: None can; the message gives the cost of the cheapest network.
    """
    for index, cost in enumerate(("parameters", "macs")):
        bound = spec.search.bounds.get(cost)
        if bound is None:
            continue
        stages = zip(space.stages, space.canonical, strict=True)
        least = reference[cost] + sum(
            min(form.cost(stage)[index] for form in forms.values()) for stage, forms in stages
        )
        if not bound.satisfied(least, reference[cost]):
            written = spec.search.constraints.get(cost)  # type: ignore[call-overload]
            raise InputError(
                f"no network of this space can keep {cost} {written!r}: the cheapest has {least:,.6g}, the backbone "
                f"without attention {reference[cost]:,.6g}",
                where=("search", "constraints", cost),
            )


def enqueue_baselines(study: optuna.Study, space: SearchSpace) -> None:
    """Queue every baseline that has no result and is neither waiting nor running, at the start of each session."""
    with exclusively(_optuna.storage_of(study), f"{study.study_name}: queue"):
        trials = all_trials(study)
        for label, architecture in space.baselines():
            mine = [trial for trial in trials if trial_attributes(trial).label == label]
            if any(is_open(trial) or outcome(trial) in (Outcome.COMPLETE, Outcome.INFEASIBLE) for trial in mine):
                continue
            params = space.params(architecture)
            attributes = {"label": label} | ({GIVEN: architecture.to_dict()} if params is None else {})
            _optuna.queue_trial(study, params or {}, attributes)


def enqueue_trainings(study: optuna.Study, trainings: Iterable[Training]) -> None:
    """Queue given networks on given seeds, unless they have a result there or are waiting or running.

    Divergence is a result: trained until it succeeds, a network would be judged by its luck.

    Args:
        study: A study of any space; a training needs none.
        trainings: The networks, each with its seed and label.
    """
    with exclusively(_optuna.storage_of(study), f"{study.study_name}: queue"):
        results = (Outcome.COMPLETE, Outcome.DIVERGED)
        done = [trial for trial in all_trials(study) if is_open(trial) or outcome(trial) in results]
        there = {(one.hash, one.seed) for one in map(trial_attributes, done)}
        for architecture, key, seed, label in trainings:
            if (key, seed) not in there:
                there.add((key, seed))
                _optuna.queue_trial(study, {}, {GIVEN: dict(architecture), "hash": key, "seed": seed, "label": label})


def quiet_optuna() -> None:
    """Silence Optuna: its log would break the progress bar, and its experimental features are used knowingly."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
