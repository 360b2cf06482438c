import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from chattn_nas.benchmark import Table
from chattn_nas.spec import Spec

SPEC = {
    "name": "simulated",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 16}},
    "data": {"dataset": "digits", "image_size": 16},
    "space": {"all": ["none", {"se": {"reduction": 4}}, "eca", {"gct": {"placement": "before_add"}}, "srm"]},
    "proxy": {"rungs": [1, 3], "device": "cpu"},
}
#: Standard deviations in points.
NOISE, EFFECT, INTERACTION = 0.8, 0.5, 0.2


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Table:
    """125 networks with known effects, three seeds: what a table would be if additive effects were the truth."""
    spec = Spec.from_dict(SPEC)
    space = spec.search_space()
    rng = np.random.default_rng(0)
    effects = [{choice: rng.normal(0, EFFECT) for choice in dict.fromkeys(c.values())} for c in space.canonical]
    blocks = (-0.8, 0.0, 0.8)
    rows = []
    for network in space.enumerate():
        worth = 60 + sum(e[choice] for e, choice in zip(effects, network.stages, strict=True))
        worth += rng.normal(0, INTERACTION)
        for seed in range(3):
            end = worth + blocks[seed] + rng.normal(0, NOISE)
            rows.append(
                {
                    "hash": network.hash, "seed": seed, "label": "", "outcome": "complete",
                    "stages": json.dumps([choice.to_dict() for choice in network.stages]),
                    "epoch1": (end - 8 + rng.normal(0, NOISE)) / 100, "epoch3": end / 100, "accuracy": end / 100,
                    "loss": 1.0, "test_accuracy": (worth + rng.normal(0, 0.1)) / 100, "train_loss_sum": 10.0,
                    "parameters": 78_000, "macs": 3_000_000, "seconds": 20.0, "images_per_second": 3000.0,
                    "peak_memory": 1, "device": "cpu", "versions": "", "date": "2026-11-25",
                }
            )  # fmt: skip
    path = Path(tmp_path_factory.mktemp("table") / "simulated.csv.xz")
    pd.DataFrame(rows).to_csv(path, index=False)
    return Table(spec, path)
