"""Benches of which the trainings that NNI starts are special."""

import os
import signal
from pathlib import Path

from stub_trainer import StubTrainer

from chattn_nas.search.trainer import ProxyTrainer


class Patient(StubTrainer):
    """Trains nothing, but takes its time."""

    def __init__(self, spec, device=None) -> None:
        super().__init__(spec, device)
        if "NNI_TRIAL_JOB_ID" in os.environ:
            self.seconds = float(os.environ["NNI_SECONDS"])


class Accidents(ProxyTrainer):
    """The real one, except that one training kills its process and one fails: files say which were already."""

    def train(self, network, seed, report):
        if "NNI_TRIAL_JOB_ID" in os.environ:
            if _first("killed"):
                os.kill(os.getpid(), signal.SIGKILL)
            if _first("failed"):
                raise ValueError("planned failure")
        return super().train(network, seed, report)


def _first(name: str) -> bool:
    try:
        (Path(os.environ["ACCIDENTS"]) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
