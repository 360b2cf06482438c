"""Runs a whole search: from a spec to a run whose study holds the target number of trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna

from chattn_nas import attention
from chattn_nas.arguments import checked
from chattn_nas.data.inspection import write_contact_sheet
from chattn_nas.interrupts import as_interrupt
from chattn_nas.proxy.pulse import heard_by
from chattn_nas.search._join import join
from chattn_nas.search.callbacks import Observer, check_callbacks
from chattn_nas.search.devices import device_slots
from chattn_nas.search.ending import Budget, ended, reopen
from chattn_nas.search.log_to import check_log_to, loggers
from chattn_nas.search.nni.engine import require_nni, search_with_nni
from chattn_nas.search.one_shot import run as one_shot
from chattn_nas.search.pooled.settled import EarlyEnd
from chattn_nas.search.preflight import try_out
from chattn_nas.search.progress import Progress
from chattn_nas.search.queue import is_done
from chattn_nas.search.ray._ray import require_ray
from chattn_nas.search.ray.engine import search_with_ray
from chattn_nas.search.same import check_same
from chattn_nas.search.session import enqueue_baselines, quiet_optuna
from chattn_nas.search.supervisor import Supervisor
from chattn_nas.search.trainer import import_trainer
from chattn_nas.spec.plugins import refuse_main
from chattn_nas.spec.spec import Spec
from chattn_nas.study.run import CONTACT_SHEET, RunDirectory, place_of
from chattn_nas.study.storage import storage_errors


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
    spec = _changed(spec, trials, workers, budget)
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
    else:
        import_trainer(trainer)
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
        early = _early_end(held_run, spec) if early_stop and spec.search.engine != "nni" else None
        watched = [one for one in (observer, clock, early) if one is not None]
        begins = "the search begins" if baselines else "the trainings begin"
        with Progress(
            held_run.study, spec.search, shown=progress, best=best, budget=clock, observers=watched, begins=begins
        ) as shown:
            if spec.search.one_shot:
                one_shot.keep(held_run.study, spec, shown.say)
            _run(held_run, spec, shown, trainer)
            observer.end()
            if reason := ended(held_run.study):
                shown.say(f"The {'search ends' if baselines else 'trainings end'}: {reason}.")
    return held_run


def _changed(spec: Spec, trials: int | None, workers: int | None, budget: float | None) -> Spec:
    """The spec with the caller's numbers in place of its own."""
    changes: dict[str, float] = {
        field: value for field, value in (("trials", trials), ("workers", workers)) if value is not None
    }
    if budget is not None and spec.search.engine == "nni":
        changes["nni_duration"] = budget
    return spec.model_copy(update={"search": spec.search.changed(**changes)})


def _early_end(run: RunDirectory, spec: Spec) -> EarlyEnd:
    early = EarlyEnd(spec.search_space(), spec.search, spec.judging.useful)
    early(run.study)
    return early


def _run(run: RunDirectory, spec: Spec, shown: Progress, trainer: str | None) -> None:
    """Run trials up to the target with the engine of the spec, in this process if there are to be no workers."""
    settings = spec.search
    if settings.engine == "nni":
        search_with_nni(run, shown, trainer)
    elif settings.engine == "ray":
        search_with_ray(run, shown, trainer)
    elif settings.workers == 0:
        factory = import_trainer(trainer) if trainer else None
        with heard_by(shown.hear):
            join(run, trainer=factory, ended=lambda study: shown.update())
    elif not is_done(run.study, settings.trials):
        Supervisor(run, device_slots(settings, spec.proxy.device), shown, trainer).run()
