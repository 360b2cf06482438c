"""The final training of a run's network: its folder, its plan, and how it is found again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from chattn_nas import tasks
from chattn_nas.arguments import at_least, checked
from chattn_nas.errors import RunError
from chattn_nas.network.weights import read_weights
from chattn_nas.proxy import drop_path, join_distributed
from chattn_nas.proxy.mixing import check_mixing, mixing_of
from chattn_nas.search.rehearsal import refuse_one_image
from chattn_nas.search.same import check_same
from chattn_nas.search.trainer import build_prepared
from chattn_nas.space import Architecture
from chattn_nas.spec import Spec, TrainingSettings
from chattn_nas.study import RunDirectory
from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.hold import hold
from chattn_nas.study.locked_by import numbers_of
from chattn_nas.study.run import LOCK
from chattn_nas.training import (
    WEIGHTS,
    TrainingResult,
    load_training_data,
    read_result,
    refuse_another,
    train_fully,
)
from chattn_nas.training.checkpoint import NAME as CHECKPOINT
from chattn_nas.training.log import NAME as LOG
from chattn_nas.training.result import NAME as RESULT
from chattn_nas.training.result import final_trainings

#: What plans did not say when there was no choice.
AT_FIRST = {"optimizer": "sgd", "loss": "task", "scheduler": "cosine", "cutmix": 0.0, "drop_path": 0.0}
log = logging.getLogger(__name__)
FOLDER = "training"
#: Attribute of the study: every finished training by its folder's name, for the report.
ATTRIBUTE = "final_trainings"
#: Settings that change where or how fast a network is trained, not what comes out.
ELSEWHERE = {"data_on", "workers", "checkpoint_every", "tensorboard"}


@checked
def final_training(
    run: RunDirectory,
    architecture: Architecture,
    *,
    settings: TrainingSettings | None = None,
    seed: int | None = None,
    on_epoch: Callable[[dict[str, Any]], None] = lambda row: None,
) -> TrainingResult:
    """Train an architecture of a run at full length into ``training/<hash>-<seed>`` of the run's directory.

    An interrupted training is resumed; a finished one is not repeated. If ``torchrun`` started this process, all of its
    processes train one network together.

    Args:
        run: The run; its spec says how to train: sections ``training``, ``proxy``, ``data`` and ``backbone``.
        architecture: In canonical form.
        settings: Section ``training`` in place of the spec's.
        seed: Seeds weights, order and augmentation; the search's by default.
        on_epoch: Called with the row of every epoch, in the first process.

    Raises:
        RunError: The folder holds a training with other settings, or another process works in it.
        InputError: Data, backbone or batch size cannot be used.
        TrainingStopped: The loss was not finite.
    """
    spec = run.spec
    settings = settings or spec.training
    seed = spec.search.seed if seed is None else seed
    at_least(0, "seed", seed)
    directory = run.directory / FOLDER / f"{architecture.hash}-{seed}"
    plan = plan_of(spec, settings, architecture, seed)
    finished = read_result(directory)
    if finished is not None:
        refuse_another(directory, finished.plan, plan)
    if finished is not None and read_weights(directory / WEIGHTS) is not None:
        _record(run, directory.name, finished)
        return finished
    if spec.trainer is not None:
        log.warning("%s trained in the search; the final training uses the sections proxy and training",
                    spec.trainer)  # fmt: skip
    _refuse_folders(directory)
    recipe = settings.recipe(spec.proxy)
    check_mixing(tasks.find(spec.task.type), spec.task.type, recipe, "training")
    with join_distributed(spec.proxy.device) as context, _alone(directory, context.is_first):
        check_same(run.study, spec)
        training_data = load_training_data(spec.task, spec.data, settings, context.device)
        facts = training_data.facts
        mixing_of(facts.task, recipe, "training")  # refused before a network is built
        network = build_prepared(spec, architecture, seed=seed, data=facts, start=settings.start)
        if context.batch(recipe.batch_size, training_data.images) == context.size:
            section = "proxy" if settings.batch_size is None else "training"
            refuse_one_image(
                network, spec.data.image_size, facts, "this network", section=section, processes=context.size
            )
        if recipe.drop_path:
            drop_path.check(network, "training")
        result = train_fully(
            network, training_data, recipe, seed=seed, directory=directory, plan=plan,
            context=context, on_epoch=on_epoch,
        )  # fmt: skip
        if context.is_first:
            _record(run, directory.name, result)
        return result


def plan_of(spec: Spec, settings: TrainingSettings, architecture: Architecture, seed: int) -> dict[str, Any]:
    """Everything besides the run's spec that the trained weights depend on."""
    recipe = settings.recipe(spec.proxy).model_dump(exclude={"rungs", "patience", "device", "cuda_graphs", "data_on"})
    for name, only in AT_FIRST.items():
        if recipe[name] == only:
            del recipe[name]  # as it was when there was no other: older plans do not say it
    epochs = settings.recipe(spec.proxy).rungs[-1]
    mine = settings.model_dump(exclude={*ELSEWHERE, *recipe, "epochs"})
    return {"architecture": architecture.hash, "seed": seed, "epochs": epochs, **recipe, **mine}


def trained_weights(run: RunDirectory, architecture: str) -> tuple[Path, TrainingResult] | None:
    """Weights and result of the latest finished training of an architecture (canonical hash), if there is one.

    Raises:
        RunError: The weights of a finished training are damaged, and no others may replace them.
    """
    ended, whole = final_trainings(run.study), []
    for folder in sorted((run.directory / FOLDER).glob(f"{architecture}-*/")):
        path, result = folder / WEIGHTS, read_result(folder)
        if result is not None and read_weights(path) is not None:
            whole.append((path, result))
        elif folder.name in ended:
            raise RunError(
                f"{WEIGHTS} or {RESULT} in {folder} is damaged or gone: 'chattn-nas train {run.directory} --seed "
                f"{folder.name.rpartition('-')[2]}' with its settings trains it again; or remove that folder"
            )
    return max(whole, key=lambda one: one[0].stat().st_mtime, default=None)


def _refuse_folders(directory: Path) -> None:
    """Check, before anything is spent, that no folder has the name of a file that a training writes.

    Raises:
        RunError: A folder has such a name.
    """
    for name in (CHECKPOINT, LOG, WEIGHTS, RESULT):
        if (directory / name).is_dir():
            raise RunError(f"{directory / name} is a folder, where the training writes a file: remove it")


def _record(run: RunDirectory, name: str, result: TrainingResult) -> None:
    kept, plain = dict(study_attributes(run.study).final_trainings), result.to_dict()
    if kept.get(name) != plain:
        run.study.set_user_attr(ATTRIBUTE, kept | {name: plain})


@contextmanager
def _alone(directory: Path, first: bool) -> Iterator[None]:
    """Hold a folder for one training at a time; the first of its processes does that."""
    lock = directory / LOCK

    def busy() -> str:
        return f"another process{numbers_of(lock)} trains in {directory}: wait until it is done, or end it"

    with hold(lock, busy) if first else nullcontext():
        yield
