"""Joins a search from anywhere: the worker's side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import optuna

from chattn_nas.errors import RunError
from chattn_nas.search.loop import sigterm_as_interrupt, work
from chattn_nas.search.progress import Progress
from chattn_nas.search.session import BenchFactory, quiet_optuna, start
from chattn_nas.search.trainer import ProxyBench
from chattn_nas.spec.spec import Job
from chattn_nas.study.run import Run
from chattn_nas.study.storage import load_study, open_storage


def join(
    run: Run | Job | Path | str,
    storage: str | None = None,
    device: str | None = None,
    *,
    alone: bool = True,
    propose: bool = True,
    progress: bool = False,
    bench: BenchFactory = ProxyBench,
    stop: threading.Event | None = None,
    ended: Callable[[optuna.Study], None] = lambda study: None,
) -> None:
    """Run trials of a search that was started elsewhere, until the asked number has ended.

    Args:
        run: A run (or its directory) on this machine, or the job; data are read by their path on this machine.
        storage: URL of the study; the job's by default.
        device: To train on; the proxy's by default.
        alone: No supervisor looks after this process.
        propose: ``False`` runs only trials that wait already.
        progress: Show a live bar on a terminal, plain lines elsewhere.
        bench: Makes what trains.
        stop: Set it to stop after the trial that runs.
        ended: Called after every trial.

    Raises:
        RunError: The storage holds no such study, or one of another spec.
        SearchStopped: Trials keep failing.
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the running trial was given back (only where ``alone``).
    """
    quiet_optuna()
    found = run if isinstance(run, Run | Job) else Run(run)
    job = found.job if isinstance(found, Run) else found
    directory = found.directory if isinstance(found, Run) else Path("runs") / job.name
    url = storage or (found.storage_url if isinstance(found, Run) else job.search.storage)
    if url is None:
        raise RunError(
            "a worker that joins from elsewhere needs to know the study's storage", where=("search", "storage")
        )
    study = load_study(open_storage(url), job.name)
    if study.user_attrs.get("spec_hash") != job.hash:
        told = study.user_attrs.get("spec")
        fields = ", ".join(job.differences(Job.from_dict(told))) if told else ""
        raise RunError(f"the study {job.name!r} is of another spec" + (f": {fields} differ" if fields else ""))
    runner = start(job, url, directory, device, bench)
    asked = Job.from_dict(study.user_attrs["spec"]).search
    with sigterm_as_interrupt() if alone else nullcontext(), Progress(study, asked, shown=progress) as shown:

        def told(study: optuna.Study) -> None:
            shown.update()
            ended(study)

        work(runner, asked=asked.trials, alone=alone, propose=propose, stop=stop or threading.Event(), ended=told)
