"""One row of a table: the result of one training of one network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.trial import FrozenTrial

from chattn_nas.space import Architecture, SearchSpace
from chattn_nas.study.attributes import trial_attributes

#: Columns that every table has; ``epoch<n>`` (validation accuracy at every rung) come besides.
COLUMNS = (
    "hash", "seed", "stages", "label", "outcome", "accuracy", "loss", "test_accuracy", "train_loss_sum",
    "parameters", "macs", "seconds", "images_per_second", "peak_memory", "device", "versions", "date",
)  # fmt: skip


def row_of(trial: FrozenTrial, versions: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a finished trial into a row.

    Accuracies are 0 to 1; ``stages`` is JSON, one mapping per stage with the type and all its settings.
    """
    stored = trial_attributes(trial)
    measured = stored.measurement
    assert measured is not None, "only trained trials become rows"
    return {
        "hash": stored.hash,
        "seed": stored.seed,
        "stages": json.dumps(list(stored.stages)),
        "label": stored.label,
        "outcome": str(measured.outcome),
        **{f"epoch{rung.epoch}": rung.score for rung in measured.rungs},
        "accuracy": measured.score,
        "loss": measured.loss,
        "test_accuracy": measured.test_score,
        "train_loss_sum": measured.train_loss_sum,
        "parameters": measured.parameters,
        "macs": measured.macs,
        "seconds": round(measured.seconds, 2),
        "images_per_second": round(measured.images_per_second or 0.0, 1),
        "peak_memory": measured.peak_memory,
        "device": measured.device,
        "versions": " ".join(f"{name} {number}" for name, number in versions.items()),
        "date": trial.datetime_complete.date().isoformat() if trial.datetime_complete else "",
    }


def read_rows(path: Path, space: SearchSpace) -> pd.DataFrame:
    """Read the rows of a file, with the networks' current hashes: a type may have new settings since."""
    texts = ("label", "versions", "date")
    rows = pd.read_csv(path, dtype=dict.fromkeys(texts, "object")).fillna(dict.fromkeys(texts, ""))
    backbone = space.backbone.to_dict()
    today = {
        text: Architecture.from_dict({"backbone": backbone, "stages": json.loads(text)}).canonical(space.stages).hash
        for text in rows["stages"].unique()
    }
    return rows.assign(hash=rows["stages"].map(today))
