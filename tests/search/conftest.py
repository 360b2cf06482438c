import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
if str(HERE) not in sys.path:  # the stub trainer is imported by name, here and in worker processes
    sys.path.insert(0, str(HERE))

from chattn_nas.search import search  # noqa: E402
from chattn_nas.spec import Spec  # noqa: E402

SPEC = {
    "name": "stub",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8},
    "space": {"all": ["none", {"se": {"reduction": [2, 4, 8]}}, {"eca": {"gamma": [1, 2], "b": [1, 2]}}]},
    "proxy": {"rungs": [1, 3], "device": "cpu"},
    "search": {"trials": 12, "workers": 0, "sampler": "random", "pruner": "none", "devices": ["cpu"]},
}


@pytest.fixture
def make_spec():
    """A tiny spec; keyword arguments change its ``search`` section."""

    def make(space=None, **search_settings):
        data = SPEC | {"space": space or SPEC["space"], "search": SPEC["search"] | search_settings}
        return Spec.from_dict(data)

    return make


@pytest.fixture
def run_stub(make_spec, tmp_path):
    """Search with the stub in this process."""

    def run(directory=None, trials=None, **search_settings):
        found = make_spec(**search_settings)
        return search(
            found, run=directory or tmp_path / "stub", trials=trials, progress=False, trainer="stub_trainer:StubTrainer"
        )

    return run


@pytest.fixture
def worker_environment(monkeypatch):
    """Worker processes find the stub; returns a setter of its settings."""
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return lambda name, value: monkeypatch.setenv(name, value)
