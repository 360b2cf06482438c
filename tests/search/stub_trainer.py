"""A trainer that trains nothing: accuracy is a fixed function of architecture and seed. Everything else is real."""

import errno
import hashlib
import json
import os
import time
from pathlib import Path

import torch
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from torch import nn

from chattn_nas.network import stages
from chattn_nas.proxy import Measurement, Outcome, Rung
from chattn_nas.search import supervisor
from chattn_nas.study import storage

if beat := int(os.environ.get("STUB_HEARTBEAT", "0")):  # a test has no minutes to wait for a sign of life
    storage.HEARTBEAT, storage.GRACE, supervisor.SILENT = beat, 3 * beat, 2 * beat
if grace := os.environ.get("STUB_GRACE"):
    supervisor.GRACE = float(grace)


def score(architecture, seed: int) -> float:
    digest = hashlib.sha256(json.dumps([architecture.to_dict(), seed], sort_keys=True).encode()).digest()
    return 0.5 + digest[0] / 1024


class StubTrainer:
    """Settings come from the environment: workers are processes of their own."""

    def __init__(self, spec, device=None) -> None:
        self.spec = spec
        self.stages = stages(spec.backbone.backbone, in_chans=1, image_size=spec.data.image_size)
        self.seconds = float(os.environ.get("STUB_SECONDS", "0"))
        self.waits_for = Path(file) if (file := os.environ.get("STUB_WAITS_FOR")) else None
        self.faults = json.loads(os.environ.get("STUB_FAULTS", "{}"))

    def build(self, architecture, seed):
        network = nn.Linear(2, 2)
        network.architecture = architecture
        return network

    def costs(self, network):
        choices = network.architecture.choices(len(self.stages))
        added = [choice.cost(stage) for choice, stage in zip(choices, self.stages)]
        return {"parameters": 20_000 + sum(p for p, _ in added), "macs": 200_000 + sum(m for _, m in added)}

    def train(self, network, seed, report):
        architecture = network.architecture
        for words, fault in self.faults.items():
            if words in str(architecture):
                _raise(fault)
        if self.waits_for is not None:
            self.waits_for.with_suffix(f".{os.getpid()}").touch()  # to say so
            while not self.waits_for.exists():
                time.sleep(0.05)
        accuracy, rungs = score(architecture, seed), []
        for index, epoch in enumerate(self.spec.proxy.rungs):
            time.sleep(self.seconds / len(self.spec.proxy.rungs))
            rungs.append(Rung(epoch=epoch, score=accuracy * (index + 1) / len(self.spec.proxy.rungs), loss=1.0))
            if report(index, rungs[-1]):
                return Measurement(
                    outcome=Outcome.PRUNED, reason=f"stopped at rung {index}", rungs=tuple(rungs), seed=seed
                )
        return Measurement(outcome=Outcome.COMPLETE, rungs=tuple(rungs), seed=seed)


class StopsAll(BasePruner):
    """Stops every trial at its first rung."""

    def prune(self, study, trial) -> bool:
        return True


def _raise(fault: str) -> None:
    if fault == "hang":
        time.sleep(600)
    if fault == "die":
        print("last words of a worker", flush=True)
        os._exit(9)
    if fault == "memory":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    if fault == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if fault == "broken":
        raise RuntimeError("CUDA error: device-side assert triggered")
    raise ValueError("planned failure")


class ProposesOne(BaseSampler):
    """Always the same network: the second value of every choice."""

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):
        return param_distribution.choices[1]
