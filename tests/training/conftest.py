import os
import subprocess
import sys
from pathlib import Path

import pytest

from chattn_nas.api import Run
from chattn_nas.search import search
from chattn_nas.spec import Spec

SPEC = {
    "name": "tiny",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 256},
    "space": {"all": [{"se": {"reduction": [2]}}]},
    "proxy": {"rungs": [1], "batch_size": 64, "device": "cpu"},
    "search": {"trials": 1, "workers": 0, "sampler": "random", "devices": ["cpu"]},
    # Everything at once: what draws, what averages, what clips.
    "training": {"epochs": 3, "ema": 0.9, "clip": 1.0, "randaugment": 1, "erasing": 0.2, "mixup": 0.2, "workers": 0},
}


@pytest.fixture(scope="session")
def searched(tmp_path_factory) -> Path:
    """The directory of a finished search."""
    directory = tmp_path_factory.mktemp("searched") / "tiny"
    search(Spec.from_dict(SPEC), run=directory, progress=False)
    return directory


@pytest.fixture
def run(searched, tmp_path) -> Run:
    """A copy of it, with no training in it."""
    import shutil

    shutil.copytree(searched, tmp_path / "tiny")
    return Run(tmp_path / "tiny")


def command(*arguments: str, cwd: Path, processes: int = 1) -> subprocess.Popen:
    """The real command, alone or in several processes."""
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen([sys.executable, *start, "-m", "chattn_nas", *arguments], cwd=cwd, env=environment,
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip


@pytest.fixture
def chattn_nas():
    return command
