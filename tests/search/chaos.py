"""A search in processes of its own, and the means to harm it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import optuna
import stub_trainer
from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from chattn_nas.space import Architecture
from chattn_nas.spec import Spec
from chattn_nas.study import RunDirectory
from chattn_nas.study.run import SPEC
from chattn_nas.study.trials import all_trials, counts, outcome

HERE = Path(__file__).parent
DRIVER = """
import atexit, gc, json, sys
atexit.register(gc.freeze)
import stub_trainer
from chattn_nas.spec import Spec
from chattn_nas.search import search
search(Spec.from_dict(json.loads(sys.argv[1])), run=sys.argv[2], trainer="stub_trainer:StubTrainer")
"""


class Chaos:
    """A run of ``trials`` trials by ``workers`` workers, all architectures enqueued beforehand."""

    def __init__(self, folder: Path, *, storage: str | None, trials: int, workers: int = 4, seconds: float = 0.2,
                 faults: dict[str, str] | None = None, **settings) -> None:  # fmt: skip
        search = {"trials": trials, "workers": workers, "pruner": "none", "retries": 20, "devices": ["cpu"]}
        search |= {"storage": storage, **settings}
        self.data = {
            "name": folder.name,
            "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
            "data": {"dataset": "digits", "image_size": 8},
            "space": {"all": ["none", {"se": {"reduction": [2, 4, 8]}}, {"eca": {"gamma": [1, 2], "b": [1, 2]}}]},
            "proxy": {"rungs": [1, 3], "device": "cpu"},
            "search": search,
        }
        self.folder, self.trials = folder, trials
        self.log = folder.parent / f"{folder.name}.log"
        path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.environment = os.environ | {"PYTHONPATH": path, "STUB_SECONDS": str(seconds), "OMP_NUM_THREADS": "1"}
        self.environment["STUB_FAULTS"] = json.dumps(faults or {})
        self.driver: subprocess.Popen | None = None

    def enqueue_all(self) -> int:
        """Queue different architectures for all trials but the baselines."""
        spec = Spec.from_dict(self.data)
        run, space = RunDirectory.create(spec, self.folder), spec.search_space()
        baselines = space.baselines()
        known = {architecture.canonical(space.stages).hash for _, architecture in baselines}
        fresh = [architecture for architecture in space.enumerate() if architecture.hash not in known]
        chosen = random.Random(0).sample(fresh, self.trials - len(baselines))
        for architecture in chosen:
            run.study._storage.create_new_trial(
                run.study._study_id,
                template_trial=create_trial(
                    state=TrialState.WAITING,
                    system_attrs={"fixed_params": space.params(architecture)},
                    user_attrs={"enqueued": architecture.hash},
                ),
            )
        self.study = run.study
        return len(chosen)

    def start(self, command: Sequence[str] = (), **options) -> None:
        with self.log.open("ab") as log:
            self.driver = subprocess.Popen(
                [sys.executable, *(command or ("-c", DRIVER)), json.dumps(self.data), str(self.folder)],
                stdout=log, stderr=log, env=self.environment, **options,
            )  # fmt: skip

    def wait(self, seconds: float) -> int:
        return self.driver.wait(timeout=seconds)

    def workers(self) -> list[int]:
        try:
            children = Path(f"/proc/{self.driver.pid}/task/{self.driver.pid}/children").read_text().split()
        except OSError:
            return []
        return [int(pid) for pid in children]

    @cached_property
    def study(self) -> optuna.Study:
        """Seen from outside."""
        return RunDirectory(self.folder).study

    def records(self) -> list[FrozenTrial]:
        return all_trials(self.study) if (self.folder / SPEC).exists() else []

    def ended(self) -> int:
        return sum(map(counts, self.records()))

    def close(self) -> None:
        if self.driver is not None and self.driver.poll() is None:
            self.driver.kill()
            self.driver.wait()
        storage = self.__dict__.get("study") and self.study._storage
        if isinstance(storage, _CachedStorage):
            storage._backend.remove_session()
            storage._backend.engine.dispose()

    def until(self, ended: int, seconds: float = 600) -> None:
        deadline = time.monotonic() + seconds
        while self.ended() < ended:
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            assert self.driver.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.1)

    def kill_a_worker(self, rng: random.Random) -> bool:
        running = self.workers()
        if not running:
            return False
        os.kill(rng.choice(running), signal.SIGKILL)
        return True

    def kill_the_supervisor(self) -> None:
        self.driver.kill()
        self.driver.wait()

    def check(self) -> None:
        """Nothing lost, nothing twice, and every result what an undisturbed run gives."""
        trials = self.records()
        assert [trial.number for trial in trials] == list(range(len(trials))), "no number missing"
        assert not [trial.number for trial in trials if trial.state is TrialState.RUNNING], "none is left running"
        assert sum(map(counts, trials)) == self.trials, "exactly the asked number ended"
        waiting = [trial for trial in trials if trial.state is TrialState.WAITING]
        assert not any("enqueued" in trial.user_attrs or trial.user_attrs.get("label") for trial in waiting)
        trained = [trial for trial in trials if outcome(trial) is not None]
        pairs = Counter((trial.user_attrs["hash"], trial.user_attrs["seed"]) for trial in trained)
        assert max(pairs.values()) == 1, "none was trained twice on one seed"
        labels = Counter(trial.user_attrs["label"] for trial in trained if trial.user_attrs.get("label"))
        assert labels == {"none": 1, "uniform se": 1, "uniform eca": 1, "random_gate": 1, "channel_scale": 1}
        for trial in trained:
            found = trial.user_attrs
            if "enqueued" in found:
                assert found["hash"] == found["enqueued"], "what was enqueued is what was trained"
            assert found["outcome"] == "complete"
            architecture = Architecture.from_dict(found["architecture"])
            assert found["measurement"]["rungs"][-1]["score"] == stub_trainer.score(architecture, found["seed"])
            assert len(found["measurement"]["rungs"]) == 2
