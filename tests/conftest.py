import os
import random
import shutil
import sys
import tempfile
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


@pytest.fixture(scope="session")
def study() -> optuna.Study:
    """One study with repeats, pruned and failed trials."""
    return simulate(make_world(4), 60, prune=0.3, failures=True)
