"""Benches of which the trainings that NNI starts are special."""

import os
import signal
from pathlib import Path

from stub_bench import StubBench

from chattn_nas.search.trainer import ProxyBench


class Patient(StubBench):
    """Trains nothing, but takes its time."""

    def __init__(self, job, device=None) -> None:
        super().__init__(job, device)
        if "NNI_TRIAL_JOB_ID" in os.environ:
            self.seconds = float(os.environ["NNI_SECONDS"])


class Accidents(ProxyBench):
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
