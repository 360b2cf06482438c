"""The importance of each stage and of each setting of an attention, by fANOVA and PED-ANOVA."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from chattn_nas.arguments import checked
from chattn_nas.results._fanova import fanova
from chattn_nas.study.record import Record, key_of, once_per_seed, records

#: With fewer complete trainings any stage may look decisive.
LEAST_TRAININGS = 12
#: Most trainings that are used; of more, an even spread.
MOST_TRAININGS = 1000
#: PED-ANOVA asks what it takes to be among this share of the trainings.
BEST_PART = 0.25
COLUMNS = ("stage", "parameter", "values", "trainings", "fanova", "ped_anova")


@checked
def importance(study: optuna.Study) -> pd.DataFrame:
    """Importance of every stage's attention, and of every setting that took several values there.

    Columns: ``stage`` (from 1), ``parameter`` (``attention``, or ``se.reduction``), ``values`` (how many were seen),
    ``trainings`` (that had the parameter), ``fanova`` (share of the variance, over the stages; Hutter, Hoos,
    Leyton-Brown 2014; NaN for settings, which not every training has) and ``ped_anova`` (share of what it takes to be
    among the best quarter; Watanabe, Bansal, Hutter 2023). Both are relative: noise is shared out too. Stopped
    trainings and the control are left out. With fewer than 12 others, or none that differ, the table is empty; of more
    than 1,000 an even spread is used.
    """
    history = [record for record in once_per_seed(records(study)) if record.score is not None and not record.control]
    if len(history) > MOST_TRAININGS:
        history = [history[round(place)] for place in np.linspace(0, len(history) - 1, MOST_TRAININGS)]
    rows = [_parameters(record) for record in history]
    values: dict[str, list[str]] = {}
    for row in rows:
        for name, value in row.items():
            if value not in values.setdefault(name, []):
                values[name].append(value)
    open_ones = {name: CategoricalDistribution(levels) for name, levels in values.items() if len(levels) > 1}
    if len(history) < LEAST_TRAININGS or not open_ones or len({record.score for record in history}) == 1:
        return pd.DataFrame(columns=list(COLUMNS))
    stages = [name for name in open_ones if "." not in name]
    places = {name: _by_mean(name, rows, history) for name in stages}
    ordered = [[places[name][row[name]] for name in stages] for row in rows]
    shares = fanova(np.array(ordered), np.array([record.score for record in history])) if stages else ()
    of_variance: dict[str, float] = dict(zip(stages, shares, strict=True))
    of_the_best = _ped_anova(_rebuilt(history, rows, open_ones), list(open_ones))
    table = [
        {
            "stage": int(stage.removeprefix("stage")),
            "parameter": setting or "attention",
            "values": len(values[name]),
            "trainings": sum(name in row for row in rows),
            "fanova": of_variance.get(name, float("nan")),
            "ped_anova": of_the_best.get(name, float("nan")),
        }
        for name in open_ones
        for stage, _, setting in (name.partition("."),)
    ]
    return pd.DataFrame(table, columns=list(COLUMNS)).sort_values(["stage", "parameter"], ignore_index=True)


def _parameters(record: Record) -> dict[str, str]:
    """``stage2`` to the type, ``stage2.se.reduction`` to the setting, as the network has them."""
    parameters = {}
    for number, stage in enumerate(record.stages, 1):
        parameters[f"stage{number}"] = str(stage["type"])
        settings = {key: value for key, value in stage.items() if key != "type"}
        parameters |= {f"stage{number}.{stage['type']}.{key}": key_of({key: value}) for key, value in settings.items()}
    return parameters


def _by_mean(stage: str, rows: Sequence[dict[str, str]], records: Sequence[Record]) -> dict[str, int]:
    """The rank of every type of a stage by the mean score of its trainings.

    The best split of a regression tree follows this order (Breiman et al. 1984).
    """
    scores: dict[str, list[float]] = {}
    for row, record in zip(rows, records, strict=True):
        assert record.score is not None
        scores.setdefault(row[stage], []).append(record.score)
    order = sorted(scores, key=lambda value: (float(np.mean(scores[value])), value))
    return {value: place for place, value in enumerate(order)}


def _rebuilt(
    records: Sequence[Record], rows: Sequence[Mapping[str, Any]], open_ones: Mapping[str, BaseDistribution]
) -> optuna.Study:
    """The trainings as a study in which every trial has its choices as parameters, which queued ones lack."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    optuna.logging.set_verbosity(before)
    for record, row in zip(records, rows, strict=True):
        params = {name: value for name, value in row.items() if name in open_ones}
        distributions = {name: open_ones[name] for name in params}
        study.add_trial(create_trial(value=record.score, params=params, distributions=distributions))
    return study


def _ped_anova(study: optuna.Study, names: list[str]) -> dict[str, float]:
    evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST_PART)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "Target and region quantiles")  # many scores are equal: so are the shares
        return get_param_importances(study, evaluator=evaluator, params=names)
