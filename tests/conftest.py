import sys
from pathlib import Path

import optuna
import pytest

sys.path.insert(0, str(Path(__file__).parent / "results"))  # --import-mode=importlib puts no test folder on the path

from results_study import make_world, simulate


@pytest.fixture(scope="session")
def study() -> optuna.Study:
    """One study with repeats, pruned and failed trials."""
    return simulate(make_world(4), 60, prune=0.3, failures=True)
