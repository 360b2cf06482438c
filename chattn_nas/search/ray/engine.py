"""Searches on a Ray cluster: this process proposes and records, and Ray places the trainings."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from chattn_nas.search.loop import work
from chattn_nas.search.progress import Progress
from chattn_nas.search.ray import _ray
from chattn_nas.search.session import start
from chattn_nas.search.trial import TrialRunner
from chattn_nas.spec.search_settings import SearchSettings
from chattn_nas.study.run import RunDirectory

LOOK = 1.0
#: Trials at a time; each is a thread here that mostly waits.
MOST = 256


def search_with_ray(run: RunDirectory, progress: Progress, trainer: str | None = None) -> None:
    """Search until the target number of trials has ended.

    The cluster is that of ``RAY_ADDRESS``, else the one that runs on this machine, else a new one on this machine that
    listens on loopback only.

    Args:
        run: The run.
        progress: Progress display.
        trainer: ``module:factory`` of your own trainer, importable on every node.

    Raises:
        RunError: There is no cluster at the address.
        SearchStopped: Trials keep failing.
        KeyboardInterrupt: Ctrl-C; the running trials were returned to the queue.
    """
    mine = _ray.connect()
    stop = threading.Event()
    try:
        from chattn_nas.search.ray.trainer import RayTrainer

        spec = run.spec
        gpus = spec.proxy.device != "cpu" and _ray.has_gpus()
        needs = {"num_cpus": 1.0, "num_gpus": 1 / spec.search.trials_per_device if gpus else 0.0}
        first = start(
            spec, run.storage_url, run.directory, None,
            lambda spec, device: RayTrainer(spec, spec.search_space().stages, needs, stop, trainer),
        )  # fmt: skip

        def lane() -> None:
            runner = TrialRunner(
                spec, first.study, first.space, first.trainer, first.reference, first.checkpoints, first.owner
            )
            work(runner, target_trials=spec.search.trials, alone=True, stop=stop)

        with ThreadPoolExecutor(MOST) as pool:
            lanes: list[Future[None]] = []
            try:
                running: set[Future[None]] = set()
                while not lanes or running:
                    lanes += [pool.submit(lane) for _ in range(_places(spec.search, needs) - len(lanes))]
                    done, running = wait(lanes, timeout=LOOK, return_when=FIRST_EXCEPTION)
                    progress.update()
                    for ended in done:
                        ended.result()
            finally:
                stop.set()
    finally:
        if mine:
            _ray.disconnect()


def _places(settings: SearchSettings, needs: dict[str, float]) -> int:
    """Trials at a time: as many as requested, or as the cluster has room for now."""
    return min(settings.workers or max(1, _ray.room_for(needs)), MOST)
