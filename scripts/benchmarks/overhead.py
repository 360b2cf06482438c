"""What a trial costs beside its training, by storage and sampler.

Every trial is real (proposed, canonical, claimed, built, counted, recorded, told, noted) but is not trained: its
accuracy is drawn. Beside it stands Optuna alone: ask, the same suggestions, two reports, tell. With one worker, then
with several at once; trials per hour are the ceiling when training takes no time. ``postgresql`` starts a server of our
own on loopback (Debian: postgresql).

    python scripts/benchmarks/overhead.py --trials 200 --storages sqlite journal postgresql --samplers random tpe
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import optuna

from chattn_nas.proxy import Measurement, Outcome, Rung
from chattn_nas.search import search
from chattn_nas.search._join import join
from chattn_nas.search.samplers import build_sampler
from chattn_nas.search.trainer import ProxyTrainer
from chattn_nas.spec.spec import Spec
from chattn_nas.study.run import RunDirectory
from chattn_nas.study.storage import open_storage
from chattn_nas.study.trials import all_trials, counts

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "search"))

from postgres_server import Server  # noqa: E402

SPACE = {
    "all": [
        "none",
        {"se": {"reduction": [2, 4, 8, 16]}},
        {"eca": {"gamma": [1, 2], "b": [1, 2]}},
        {"fca": {"frequencies": ["top1", "top2", "top4", "low2", "bot2"], "reduction": [4, 8]}},
        {"gct": {"mode": ["l1", "l2"]}},
    ]
}


class NoTraining(ProxyTrainer):
    """Everything but the training."""

    def train(self, network, seed, report):  # type: ignore[no-untyped-def]
        """Rungs of drawn accuracies."""
        rungs = []
        for index, epoch in enumerate(self.spec.proxy.rungs):
            rungs.append(Rung(epoch=epoch, score=random.random(), loss=1.0))
            if report(index, rungs[-1]):
                return Measurement(outcome=Outcome.PRUNED, rungs=tuple(rungs), seed=seed)
        return Measurement(outcome=Outcome.COMPLETE, rungs=tuple(rungs), seed=seed)


def spec_for(sampler: str, trials: int, storage: str | None, workers: int = 0) -> Spec:
    """The quickstart's space."""
    return Spec.from_dict(
        {
            "name": f"overhead-{time.time_ns()}",
            "backbone": {"model": "cifar_resnet8", "options": {"width": 16}},
            "data": {"dataset": "digits", "image_size": 16},
            "space": SPACE,
            "proxy": {"rungs": [2, 6], "device": "cpu"},
            "search": {
                "sampler": sampler, "trials": trials, "storage": storage, "workers": workers, "max_seeds": 1000,
                "keep_checkpoints": 0, "devices": ["cpu"],
            },
        }
    )  # fmt: skip


@contextmanager
def storage_url(kind: str, folder: str) -> Iterator[str | None]:
    """The URL of a fresh storage, or of the one that ``kind`` names."""
    if kind == "postgresql":
        place = Path(folder) / "postgres"
        place.mkdir()
        server = Server(place)
        server.start()
        try:
            yield server.url
        finally:
            server.stop()
    else:
        yield {"sqlite": None, "journal": f"journal://{folder}/journal.log"}.get(kind, kind)


def ours(kind: str, sampler: str, trials: int) -> list[float]:
    """Seconds per trial of one worker."""
    with tempfile.TemporaryDirectory() as folder, storage_url(kind, folder) as url:
        run = RunDirectory.create(spec_for(sampler, trials, url), Path(folder) / "run")
        ended = [0.0]
        join(run, trainer=NoTraining, ended=lambda study: ended.append(time.perf_counter()))
        return [later - earlier for earlier, later in pairwise(ended[1:])]


def optuna_alone(kind: str, sampler: str, trials: int) -> list[float]:
    """Seconds per trial of ask, the same suggestions, and tell."""
    with tempfile.TemporaryDirectory() as folder, storage_url(kind, folder) as url:
        spec = spec_for(sampler, trials, url)
        space = spec.search_space()
        study = optuna.create_study(
            storage=open_storage(url or f"sqlite:///{folder}/study.db"), study_name=spec.name, direction="maximize",
            sampler=build_sampler(spec.search, space),
        )  # fmt: skip
        found = []
        for _ in range(trials):
            started = time.perf_counter()
            trial = study.ask()
            space.sample(trial)
            trial.report(random.random(), 2)
            trial.report(random.random(), 6)
            study.tell(trial, random.random())
            found.append(time.perf_counter() - started)
        return found


def together(kind: str, sampler: str, trials: int, workers: int) -> float:
    """Trials per hour of several workers at once, over the second half of the search."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder, storage_url(kind, folder) as url:
        spec = spec_for(sampler, trials, url, workers)
        run = search(spec, run=Path(folder) / "run", progress=False, trainer="overhead:NoTraining")
        ends = sorted(t.datetime_complete for t in all_trials(run.study) if counts(t) and t.datetime_complete)
        later = ends[len(ends) // 2 :]
        return 3600 * (len(later) - 1) / (later[-1] - later[0]).total_seconds()


def start_up() -> float:
    """Seconds of a fresh process until it could take its first trial: imports, search space, data, stages."""
    spec = spec_for("random", 1, None)
    code = (
        "import json, sys; from chattn_nas.search.trainer import ProxyTrainer; from chattn_nas.spec.spec import Spec; "
        "spec = Spec.from_dict(json.loads(sys.argv[1])); spec.search_space(); ProxyTrainer(spec, 'cpu')"
    )
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, json.dumps(spec.to_dict())], check=True)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--workers", type=int, default=4, help="of the last column")
    parser.add_argument("--together", type=int, default=400, help="trials of the last column")
    parser.add_argument("--storages", nargs="+", default=["sqlite", "journal"], help="these, postgresql, or a URL")
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe"])
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    print(
        f"{date.today()}, {platform.processor() or platform.machine()}, optuna {version('optuna')}, "
        f"torch {version('torch')}; median ms per trial over the last quarter of {arguments.trials} trials"
    )
    print(f"a worker is ready after {start_up():.1f} s (the best of 3)")
    columns = ("ours", "optuna", "beyond", "trials/h", f"by {arguments.workers}")
    print(f"{'storage':12} {'sampler':8} " + " ".join(f"{column:>9}" for column in columns))
    for kind in arguments.storages:
        for sampler in arguments.samplers:
            mine = ours(kind, sampler, arguments.trials)
            alone = optuna_alone(kind, sampler, arguments.trials)
            last = len(mine) // 4
            a, b = (sorted(times[-last:])[last // 2] * 1000 for times in (mine, alone))
            by_many = together(kind, sampler, arguments.together, arguments.workers)
            name = kind.split(":")[0]
            print(
                f"{name:12} {sampler:8} {a:9.0f} {b:9.0f} {a - b:9.0f} {3_600_000 / a:9,.0f} {by_many:9,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
