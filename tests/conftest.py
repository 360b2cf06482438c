import contextlib
import ctypes
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optuna
import pytest

sys.path.insert(0, str(Path(__file__).parent / "results"))  # --import-mode=importlib puts no test folder on the path

from results_study import make_world, simulate


def pytest_configure(config: pytest.Config) -> None:
    """Images are cached in a folder of the session's own, which its worker processes inherit."""
    if "CHATTN_NAS_CACHE" not in os.environ:
        folder = tempfile.mkdtemp(prefix="chattn-nas-cache-")
        os.environ["CHATTN_NAS_CACHE"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same random state, whichever ran before it."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:  # tests of what needs no torch import none
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def without_rights():
    """Makes a context in which files without rights cannot be read or written, also by root, who may do anything."""

    @contextlib.contextmanager
    def capabilities_dropped() -> Iterator[None]:
        if os.geteuid():
            yield
            return
        libc = ctypes.CDLL(None, use_errno=True)
        head, held = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        if not hasattr(libc, "capset") or libc.capget(head, held):
            pytest.skip("root keeps its rights: this system has no capabilities")
        fewer = (ctypes.c_uint32 * 6)(*held)
        fewer[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, of this thread
        assert libc.capset(head, fewer) == 0
        try:
            yield
        finally:
            assert libc.capset(head, held) == 0

    return capabilities_dropped


@pytest.fixture(scope="session")
def study() -> optuna.Study:
    """One study with repeats, pruned and failed trials."""
    return simulate(make_world(4), 60, prune=0.3, failures=True)
