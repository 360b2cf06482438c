"""Joins a running search, from this or any other machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import optuna

from chattn_nas.arguments import checked
from chattn_nas.errors import RunError
from chattn_nas.interrupts import as_interrupt
from chattn_nas.search.loop import work
from chattn_nas.search.progress import Progress
from chattn_nas.search.session import quiet_optuna, start
from chattn_nas.search.trainer import TrainerFactory
from chattn_nas.spec.spec import Spec
from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.run import RunDirectory
from chattn_nas.study.storage import load_study, open_storage, storage_errors


@checked
def join(
    run: RunDirectory | Spec | Path | str,
    storage: str | None = None,
    device: str | None = None,
    *,
    alone: bool = True,
    propose: bool = True,
    progress: bool = False,
    trainer: TrainerFactory | None = None,
    stop: threading.Event | None = None,
    ended: Callable[[optuna.Study], None] = lambda study: None,
) -> None:
    """Run trials of a search that was started elsewhere, until it has its target number.

    Args:
        run: A run (or its directory) on this machine, or the spec; data are read from this machine.
        storage: URL of the study; the spec's by default.
        device: Device to train on; the proxy's by default.
        alone: Whether this process has no supervisor.
        propose: ``False`` runs only trials that are waiting already.
        progress: Show a live bar on a terminal, plain lines elsewhere.
        trainer: Function that makes the trainer; the spec's by default.
        stop: Set it to stop after the current trial.
        ended: Called after every trial.

    Raises:
        RunError: The storage holds no such study, or the study of another spec.
        SearchStopped: Trials keep failing.
        KeyboardInterrupt: Ctrl-C, SIGTERM or SIGHUP, after the running trial was returned (only if ``alone``).
    """
    quiet_optuna()
    run_or_spec = run if isinstance(run, RunDirectory | Spec) else RunDirectory(run)
    spec = run_or_spec.spec if isinstance(run_or_spec, RunDirectory) else run_or_spec
    directory = run_or_spec.directory if isinstance(run_or_spec, RunDirectory) else Path("runs") / spec.name
    url = storage or (run_or_spec.storage_url if isinstance(run_or_spec, RunDirectory) else spec.search.storage)
    if url is None:
        raise RunError(
            "a worker that joins from elsewhere needs to know the study's storage", where=("search", "storage")
        )
    opened = open_storage(url)
    with storage_errors(url) if alone else nullcontext():
        _join(spec, load_study(opened, spec.name), url, directory, device, alone=alone, propose=propose,
              progress=progress, trainer=trainer, stop=stop or threading.Event(), ended=ended)  # fmt: skip


def _join(
    spec: Spec, study: optuna.Study, url: str, directory: Path, device: str | None, *, alone: bool, propose: bool,
    progress: bool, trainer: TrainerFactory | None, stop: threading.Event, ended: Callable[[optuna.Study], None],
) -> None:  # fmt: skip
    stored = Spec.from_stored(dict(study_attributes(study).spec))
    spec = spec.started_as(stored)
    if fields := spec.differences(stored):
        raise RunError(f"the study {spec.name!r} is of another spec: {', '.join(fields)} differ")
    runner = start(spec, url, directory, device, trainer)
    settings = stored.search
    with as_interrupt() if alone else nullcontext(), Progress(study, settings, shown=progress) as shown:

        def after_trial(study: optuna.Study) -> None:
            shown.update()
            ended(study)

        work(runner, target_trials=settings.trials, alone=alone, propose=propose, stop=stop, ended=after_trial)
