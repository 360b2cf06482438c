"""Runs a whole search: from a spec to a run whose study holds the target number of trials."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import torch

from chattn_nas import attention, tasks
from chattn_nas.arguments import checked
from chattn_nas.data.inspection import write_contact_sheet
from chattn_nas.errors import InputError, first_line
from chattn_nas.interrupts import as_interrupt
from chattn_nas.network import stages
from chattn_nas.network.model import create_backbone, refuse_missing_weights
from chattn_nas.network.survey import check_backbone
from chattn_nas.proxy import drop_path, resolve_device
from chattn_nas.proxy.pulse import heard_by
from chattn_nas.proxy.schedule import factors
from chattn_nas.search._join import join
from chattn_nas.search.callbacks import Observer, check_callbacks
from chattn_nas.search.devices import device_slots, refuse_too_many
from chattn_nas.search.ending import Budget, ended, reopen
from chattn_nas.search.log_to import check_log_to, loggers
from chattn_nas.search.nni.engine import require_nni, search_with_nni
from chattn_nas.search.one_shot import run as one_shot
from chattn_nas.search.pooled.settled import EarlyEnd
from chattn_nas.search.progress import Progress
from chattn_nas.search.queue import is_done
from chattn_nas.search.ray._ray import require_ray
from chattn_nas.search.ray.engine import search_with_ray
from chattn_nas.search.rehearsal import rehearse
from chattn_nas.search.same import check_same
from chattn_nas.search.session import enqueue_baselines, proposals_of, quiet_optuna
from chattn_nas.search.supervisor import Supervisor
from chattn_nas.search.trainer import check_trainer, import_trainer
from chattn_nas.spec.plugins import refuse_main
from chattn_nas.spec.spec import Spec
from chattn_nas.study.run import CONTACT_SHEET, RunDirectory, place_of
from chattn_nas.study.storage import storage_errors

log = logging.getLogger(__name__)


def try_without_data(spec: Spec) -> None:
    """Try what needs no data, whose reading may take hours: devices, workers, the bound on latency, weights.

    Raises:
        InputError: One of them does not exist; ``where`` is its place in the spec.
    """
    for index, device in enumerate(spec.search.devices or [spec.proxy.device]):
        where = ("search", "devices", index) if spec.search.devices else ("proxy", "device")
        try:
            torch.empty(1, device=resolve_device(device))
        except InputError as error:
            error.where = where
            raise
        except (RuntimeError, AssertionError) as error:
            words = first_line(error)
            raise InputError(f"device {device!r} cannot be used: {words}", where=where) from None
    if spec.search.engine == "optuna":
        refuse_too_many(device_slots(spec.search, spec.proxy.device))
    latency = spec.search.bounds.get("latency")
    if latency is not None and not latency.unit and latency.limit >= 1:
        text = str(spec.search.constraints["latency"])
        raise InputError(
            f"search.constraints: latency {text!r} would be seconds; possible: '{text.strip()}ms', '{text.strip()}s'",
            where=("search", "constraints", "latency"),
        )
    try:
        refuse_missing_weights(spec.backbone.model, pretrained=spec.backbone.pretrained, weights=spec.backbone.weights)
    except InputError as error:
        raise error.at("backbone") from None


def try_out(spec: Spec) -> None:
    """Try everything that a trial will need before anything is written: data, device, backbone and space.

    Raises:
        InputError: One of them does not exist or does not fit; ``where`` is its place in the spec.
    """
    try_without_data(spec)
    facts = tasks.load(spec.task, spec.data, data_on="disk")
    factors(spec.proxy, 100)
    if not facts.task.classes:
        _refuse_types_that_need_classes(spec)
    proposals_of(spec)
    if spec.search.one_shot:
        one_shot.refuse(spec)
        if spec.search.sampler != "pooled":
            log.warning("search.one_shot: sampler %r does not read it, only 'pooled' does", spec.search.sampler)
    try:
        stages(spec.backbone.backbone, in_chans=facts.in_chans, image_size=spec.data.image_size)
    except InputError as error:
        raise error if error.where[:1] == ("backbone",) else error.at("backbone") from None
    _check_slots(spec, facts.in_chans)
    rehearse(spec, facts)
    if spec.trainer is not None:
        check_trainer(spec)


def _refuse_types_that_need_classes(spec: Spec) -> None:
    for choices in spec.search_space().candidates:
        for candidate in choices:
            if attention.get(candidate.type).needs_num_classes:
                raise InputError(
                    f"{candidate.type} learns which classes an image holds, and task {spec.task.type} has none",
                    where=("space",),
                )


@checked
def search(
    spec: Spec,
    *,
    run: Path | str | None = None,
    trials: int | None = None,
    workers: int | None = None,
    progress: bool = True,
    trainer: str | None = None,
    baselines: bool = True,
    budget: float | None = None,
    early_stop: bool = False,
    callbacks: Sequence[Any] = (),
    best: Callable[[optuna.Study], str] | None = None,
) -> RunDirectory:
    """Search, or continue a search: after an interruption, the same call goes on to the target number of trials.

    Args:
        spec: A spec, as from ``load_spec``.
        run: Directory of the run; ``runs/<name>`` below the current folder by default.
        trials: Number of trials of the whole run, instead of the spec's.
        workers: Number of worker processes, instead of the spec's; ``0`` trains in this process.
        progress: Show a live bar on a terminal, plain lines elsewhere.
        trainer: ``module:factory`` of a trainer, in place of the spec's; the data are then not examined.
        baselines: Queue ``none``, every type uniformly and the controls first; ``False`` if all trainings are given.
        budget: Seconds after which no further trial begins, whatever the target.
        early_stop: Stop as soon as more trials cannot change the answer; see :mod:`.pooled.settled`.
        callbacks: Called in this process for trials and rungs; each is a :class:`.Callback`, or like one.
        best: Describes the best network so far, for the progress display.

    Raises:
        InputError: ``trials`` is below 1, or ``workers`` negative.
        MissingExtraError: The packages of the engine ``nni`` or ``ray`` are not installed.
        RunError: The run exists with incompatible settings, or another process is searching in it.
        SearchStopped: Trials or NNI keep failing; the message names the most common reason.
        KeyboardInterrupt: Ctrl-C; the running trials were returned to the queue, and the same call continues.
    """
    quiet_optuna()
    directory = place_of(spec.name, run)
    changes: dict[str, float] = {
        field: value for field, value in (("trials", trials), ("workers", workers)) if value is not None
    }
    if budget is not None and spec.search.engine == "nni":
        changes["nni_duration"] = budget
    spec = spec.model_copy(update={"search": spec.search.changed(**changes)})
    if spec.search.engine == "nni":
        require_nni(spec)
    if spec.search.engine == "ray":
        require_ray()
    check_log_to(spec.search.log_to)
    check_callbacks(callbacks)
    elsewhere = spec.search.workers != 0 or spec.search.engine != "optuna"
    for where, path in spec.own_parts.items() if elsewhere else ():
        refuse_main(path, path.partition(":")[0], where)
    if trainer is None:
        try_out(spec)
    if elsewhere:
        for name in {candidate.type for stage in spec.search_space().candidates for candidate in stage}:
            refuse_main(name, attention.get(name).cls.__module__)
    with (
        RunDirectory.held(spec, directory) as held_run,
        storage_errors(held_run.storage_url),
        as_interrupt(),
    ):
        spec = held_run.spec
        if trainer is None:
            check_same(held_run.study, spec)
            write_contact_sheet(spec.data, held_run.directory / CONTACT_SHEET)
        if baselines:
            enqueue_baselines(held_run.study, spec.search_space())
        reopen(held_run.study)
        clock = Budget(budget) if budget is not None and spec.search.engine != "nni" else None
        observer = Observer(held_run, [*loggers(held_run), *callbacks])
        early = None
        if early_stop and spec.search.engine != "nni":
            early = EarlyEnd(spec.search_space(), spec.search, spec.judging.useful)
            early(held_run.study)
        watched = [one for one in (observer, clock, early) if one is not None]
        begins = "the search begins" if baselines else "the trainings begin"
        with Progress(
            held_run.study, spec.search, shown=progress, best=best, budget=clock, observers=watched, begins=begins
        ) as shown:
            if spec.search.one_shot:
                one_shot.keep(held_run.study, spec, shown.say)
            if spec.search.engine == "nni":
                search_with_nni(held_run, shown, trainer)
            elif spec.search.engine == "ray":
                search_with_ray(held_run, shown, trainer)
            elif spec.search.workers == 0:
                factory = import_trainer(trainer) if trainer else None
                with heard_by(shown.hear):
                    join(held_run, trainer=factory, ended=lambda study: shown.update())
            elif not is_done(held_run.study, spec.search.trials):
                Supervisor(held_run, device_slots(spec.search, spec.proxy.device), shown, trainer).run()
            observer.end()
            if reason := ended(held_run.study):
                shown.say(f"The {'search ends' if baselines else 'trainings end'}: {reason}.")
    return held_run


def _check_slots(spec: Spec, in_chans: int) -> None:
    """Check, before anything is spent, that every attention would learn and that a file of weights fits.

    Also report the share of the blocks that have a slot.

    Raises:
        InputError: An attention would not learn, or the weights do not fit; ``where`` starts with ``backbone``.
    """
    backbone = spec.backbone
    try:
        plan = check_backbone(backbone.backbone, in_chans=in_chans, image_size=spec.data.image_size)
        if backbone.weights is not None:
            create_backbone(
                backbone.backbone, num_classes=2, in_chans=in_chans, device="meta", weights=backbone.weights
            )
    except InputError as error:
        raise error.at("backbone") from None
    if spec.proxy.drop_path:
        drop_path.check(create_backbone(backbone.backbone, num_classes=2, in_chans=in_chans, device="meta"))
    if plan.slotted < plan.all_blocks or any(stage.kind == "stage" for stage in plan.stages):
        log.warning("%s: %s", backbone.model, plan.share)
