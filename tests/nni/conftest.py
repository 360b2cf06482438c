import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
STUB = HERE.parent / "search"
for folder in (HERE, STUB):  # benches are imported by name, here and in the processes that NNI starts
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture
def plain_spec():
    """A tiny spec as plain data; keyword arguments change its ``search`` section."""

    def make(name, **search):
        return {
            "name": name,
            "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
            "data": {"dataset": "digits", "image_size": 8},
            "space": {"all": ["none", {"se": {"reduction": [2, 4, 8]}}]},
            "proxy": {"rungs": [1, 2], "device": "cpu"},
            "search": {"engine": "nni", "workers": 2, "pruner": "none", "devices": ["cpu"], **search},
        }

    return make


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Work in a folder of the test's own: NNI always writes an index into the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(STUB), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(tmp_path)
    return tmp_path
