"""A study as DataFrames: trials, architectures, rungs, stages.

Scores, standard errors and intervals are in the unit of the study (percent and percentage points, dB), costs in their
own units, times in seconds; a column that ends in ``_x`` is a multiple of the backbone without attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError
from chattn_nas.results.pooled import Pooled, choices_of, fit
from chattn_nas.study.metric import unit_of
from chattn_nas.study.record import Record, once_per_seed, records

Rows = list[dict[str, Any]]
COSTS = ("parameters", "macs", "latency")
#: Criteria of ``best``: the pooled model, the mean over seeds, the single best trial.
CRITERIA = ("pooled", "mean", "single")
#: Number of pooled models to cache, by everything in their records that matters.
REMEMBERED = 4
_models: dict[tuple[tuple[Any, ...], ...], Pooled | None] = {}


def rows_of(table: pd.DataFrame) -> Rows:
    """The rows of a table as dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


@checked
def trials(study: optuna.Study) -> pd.DataFrame:
    """Return one row per trial, whatever became of it.

    Columns: ``number, outcome, architecture, label, seed``, the metric by its name, such as ``accuracy`` (of a complete
    training), one ``epoch<n>`` per rung, ``loss``, the costs and their multiples, ``seconds, images_per_second,
    peak_memory, stage<n>`` (types), ``hash, value_source, reason``.
    """
    history = records(study)
    epochs = sorted({rung.epoch for record in history for rung in record.rungs})
    rows = []
    for record in history:
        measured = record.measurement
        reached = {rung.epoch: record.unit.shown(rung.score) for rung in record.rungs}
        rows.append(
            {
                "number": record.number,
                "outcome": record.outcome,
                "architecture": record.description,
                "label": record.label,
                "seed": record.seed,
                record.unit.name: record.shown,
                **{f"epoch{epoch}": reached.get(epoch, float("nan")) for epoch in epochs},
                "loss": measured.loss if measured and record.trained else None,
                **_costs(record),
                "seconds": measured.seconds if measured and record.trained else None,
                "images_per_second": measured.images_per_second if measured else None,
                "peak_memory": measured.peak_memory if measured else None,
                **{f"stage{number}": stage["type"] for number, stage in enumerate(record.stages, 1)},
                "hash": record.hash,
                "value_source": "trained" if record.trained else "record",
                "reason": record.reason,
            }
        )
    table = pd.DataFrame(rows)
    table.attrs["metric"] = metric = unit_of(study).name
    for column in (metric, "loss", "seconds", "images_per_second", *COSTS):
        if column in table:
            table[column] = pd.to_numeric(table[column])
    return table


def _costs(record: Record) -> dict[str, Any]:
    measured = record.measurement
    values: dict[str, Any] = {}
    for cost in COSTS:
        values[cost] = getattr(measured, cost) if measured else None
        if cost in record.relative or cost != "latency":
            values[f"{cost}_x"] = record.relative.get(cost, float("nan"))
    return values


@checked
def leaderboard(study: optuna.Study, by: str = "pooled") -> pd.DataFrame:
    """Return one row per architecture with a complete training, best first.

    Columns: ``rank, hash, architecture, label, seeds`` (how many), ``mean, se`` (over seeds; NaN with one),
    ``single`` (its best trial), ``pooled, pooled_sd, low, high`` (posterior and 95 % interval), the costs and their
    multiples, ``seconds`` (mean), ``number`` (its best trial's), ``stage<n>``.

    Args:
        study: The study.
        by: The criterion: ``pooled``, ``mean`` or ``single``.

    Raises:
        InputError: ``by`` is something else.
    """
    if by not in CRITERIA:
        raise InputError(f"cannot rank by {by!r}", value=by, choices=CRITERIA)
    history = records(study)
    groups = by_architecture(history)
    model = pooled(history)
    rows = [_row(group) for group in groups]
    table = pd.DataFrame(rows, columns=None if rows else ["hash", "architecture", "label", "seeds", "mean", "single"])
    if model is not None and rows:
        estimate = model.predict([choices_of(group[0]) for group in groups])
        least, most = unit_of(study).bounds
        table["pooled"], table["pooled_sd"] = estimate.mean, estimate.sd
        table["low"], table["high"] = estimate.low.clip(min=least), estimate.high.clip(max=most)
    else:
        table["pooled"], table["pooled_sd"], table["low"], table["high"] = table["mean"], *[float("nan")] * 3
    table = table.sort_values([by, "mean"], ascending=False, kind="stable").reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


architectures = leaderboard


def by_architecture(records: Sequence[Record]) -> list[list[Record]]:
    """Group complete trainings by architecture, one per seed, in the order of first appearance."""
    groups: dict[str, list[Record]] = {}
    for record in once_per_seed(records):
        if record.score is not None:
            groups.setdefault(record.hash, []).append(record)
    return list(groups.values())


def _row(group: list[Record]) -> dict[str, Any]:
    accuracies = np.array([record.shown for record in group])
    top = group[int(accuracies.argmax())]
    several = len(group) > 1
    measured = [record.measurement for record in group if record.measurement is not None]
    return {
        "hash": top.hash,
        "architecture": top.description,
        "label": next((record.label for record in group if record.label), ""),
        "seeds": len(group),
        "mean": float(accuracies.mean()),
        "se": float(accuracies.std(ddof=1) / np.sqrt(len(group))) if several else float("nan"),
        "single": float(accuracies.max()),
        **_costs(top),
        "seconds": float(np.mean([one.seconds for one in measured])),
        "number": top.number,
        **{f"stage{number}": stage["type"] for number, stage in enumerate(top.stages, 1)},
    }


def pooled(records: Sequence[Record]) -> Pooled | None:
    """Fit the pooled model to these records; the last few models are cached, since every table needs one."""
    key = tuple((record.number, record.hash, record.seed, record.outcome, record.rungs) for record in records)
    if key not in _models:
        _models[key] = fit(records)
        while len(_models) > REMEMBERED:
            del _models[next(iter(_models))]
    return _models[key]


@checked
def rungs(study: optuna.Study) -> pd.DataFrame:
    """Return one row per trial and rung reached.

    Columns: ``number, hash, architecture, label, seed, outcome, rung, epoch``, the metric by its name, ``loss``.
    """
    rows = [
        {
            "number": record.number,
            "hash": record.hash,
            "architecture": record.description,
            "label": record.label,
            "seed": record.seed,
            "outcome": record.outcome,
            "rung": index,
            "epoch": rung.epoch,
            record.unit.name: record.unit.shown(rung.score),
            "loss": rung.loss,
        }
        for record in records(study)
        for index, rung in enumerate(record.rungs)
    ]
    return pd.DataFrame(rows)


@checked
def stages(study: optuna.Study) -> pd.DataFrame:
    """Return the effect of every attention type in every stage, from the pooled model.

    Columns: ``stage`` (from 1), ``type``, ``effect`` (points against ``none`` there, or against the mean of the types
    if the stage never had ``none``), ``sd, low, high`` (95 %), ``trials`` (trainings that had it), ``against``.
    """
    history = records(study)
    model = pooled(history)
    rows: list[dict[str, Any]] = []
    observations = model.seen if model is not None else []
    for stage in range(len(observations[0].choices) if observations else 0):
        counts: dict[str, int] = {}
        for observation in observations:
            counts[observation.choices[stage][0]] = counts.get(observation.choices[stage][0], 0) + 1
        names = sorted(counts, key=lambda name: (name != "none", name == "random_gate", name))
        assert model is not None
        estimate = model.effects(stage, names)
        for name, effect, sd, low, high in zip(
            names, estimate.mean, estimate.sd, estimate.low, estimate.high, strict=True
        ):
            rows.append(
                {
                    "stage": stage + 1,
                    "type": name,
                    "effect": float(effect),
                    "sd": float(sd),
                    "low": float(low),
                    "high": float(high),
                    "trials": counts[name],
                    "against": "none" if "none" in counts else "mean of the types",
                }
            )
    columns = ["stage", "type", "effect", "sd", "low", "high", "trials", "against"]
    return pd.DataFrame(rows, columns=columns)
