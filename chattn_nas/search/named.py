"""Checks that what a spec names exists and suits its task, before the data are read, which may take hours."""

from __future__ import annotations

from chattn_nas import attention, tasks
from chattn_nas.data.load import find_further
from chattn_nas.errors import InputError
from chattn_nas.network import finetune
from chattn_nas.parts import is_path
from chattn_nas.proxy.criterion import find_loss
from chattn_nas.proxy.mixing import check_mixing
from chattn_nas.proxy.optimizer import find_optimizer
from chattn_nas.proxy.schedule import factors
from chattn_nas.search.log_to import check_log_to
from chattn_nas.search.nni.engine import require_nni
from chattn_nas.search.ray._ray import require_ray
from chattn_nas.search.session import proposals_of
from chattn_nas.space import SearchSpace
from chattn_nas.spec.spec import Spec
from chattn_nas.tasks.classification import Classification
from chattn_nas.tasks.label_metrics import metric_unit
from chattn_nas.tasks.registry import BUILT_IN
from chattn_nas.tasks.task import Task


def check_named(spec: Spec) -> None:
    """Check engine, loggers, task, metric, augmentation, recipe, sampler, pruner and frozen parts.

    Raises:
        InputError: One of them does not exist, is not installed, or does not suit the task; ``where`` is its place.
    """
    if spec.search.engine == "nni":
        require_nni(spec)
    if spec.search.engine == "ray":
        require_ray()
    check_log_to(spec.search.log_to)
    task = tasks.find(spec.task.type)
    task.check_installed()
    _check_metric(spec, task)
    if spec.task.type in BUILT_IN and not issubclass(task, Classification):
        _refuse_what_labels_need(spec, task)
    find_further(spec.data.augment)
    find_optimizer(spec.proxy.optimizer)
    find_loss(spec.proxy.loss, task, spec.task.type)
    factors(spec.proxy, 100)
    check_mixing(task, spec.task.type, spec.proxy, "proxy")
    check_mixing(task, spec.task.type, spec.training.recipe(spec.proxy), "training")
    space = spec.search_space()
    proposals_of(spec, space)
    try:
        finetune.freeze(dict.fromkeys(range(len(space.stages) + 2), ()), spec.backbone.freeze)
    except InputError as error:
        raise error.at("backbone") from None
    if not task.classes:
        _refuse_types_that_need_classes(space, spec.task.type)


def _check_metric(spec: Spec, task: type[Task]) -> None:
    metric = spec.data.metric
    if metric is None or spec.task.type not in BUILT_IN:
        return
    if issubclass(task, Classification) and is_path(metric):
        metric_unit(metric)
    elif not issubclass(task, Classification) or metric not in task.metrics:
        task.check_metric(metric, spec.task.type.replace("_", "-"))


def _refuse_what_labels_need(spec: Spec, task: type[Task]) -> None:
    if spec.backbone.head != "default":
        raise InputError(
            f"backbone.head: {spec.backbone.head} stands before a classifier, and task {spec.task.type} has none",
            where=("backbone", "head"), value=spec.backbone.head, choices=("default",),
        )  # fmt: skip
    for section, smoothing in (("proxy", spec.proxy.label_smoothing), ("training", spec.training.label_smoothing)):
        if smoothing and not task.classes:
            raise InputError(
                f"{section}.label_smoothing {smoothing:g} smooths labels, and task {spec.task.type} has none",
                where=(section, "label_smoothing"), value=smoothing, choices=(0.0,),
            )  # fmt: skip


def _refuse_types_that_need_classes(space: SearchSpace, called: str) -> None:
    for choices in space.candidates:
        for candidate in choices:
            if attention.get(candidate.type).needs_num_classes:
                raise InputError(
                    f"{candidate.type} learns which classes an image holds, and task {called} has none",
                    where=("space",),
                )
