"""One search on a table: the same proposals, replicates, pruning and picks as a real one, in a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler

from chattn_nas.benchmark.table import Table
from chattn_nas.benchmark.worlds import World
from chattn_nas.proxy import Measurement, Outcome
from chattn_nas.results.pooled import choices_of, fit, fitted, observations, rungs_of
from chattn_nas.search.pruning import passes
from chattn_nas.search.samplers import shown_to
from chattn_nas.search.search_study import SearchStudy
from chattn_nas.space import Architecture
from chattn_nas.spec.search_settings import SearchSettings
from chattn_nas.study._optuna import storage_of
from chattn_nas.study.prediction import PREDICTION, Prediction
from chattn_nas.study.record import Record
from chattn_nas.study.trials import ANSWERED, TRAINED

#: Share of the trials stopped at a rung that go on all the same, as in a real search.
PASSING: float = SearchSettings().pass_at_random
#: Proposals per training that the budget allows; more are answered from the record, and the search has converged.
PATIENCE = 5


def simulate(
    table: Table | World, sampler: BaseSampler, *, budget: float, seeds: Sequence[int],
    pruner: BasePruner | None = None, baselines: bool = True, settled: Callable[[optuna.Study], bool] | None = None,
    prediction: Prediction | None = None,
) -> list[Record]:  # fmt: skip
    """Search until ``budget`` full trainings are spent; a training stopped at a rung costs its epochs.

    Args:
        table: The table that replaces trainings.
        sampler: Proposes networks; a known one is trained on its next seed, as in a real search.
        budget: Number of full trainings.
        seeds: Seeds of the table, in the order in which every network is trained on them (common random numbers);
            after the last one the record answers, which costs a training, since in a search it counts as a trial.
        pruner: Sees a trial's rungs; none by default.
        baselines: Whether to begin with ``none`` and every uniform network.
        settled: Called after every training; ``True`` ends the search, as a real one may. Never by default.
        prediction: By shared weights, as ``search.one_shot`` stores it; what it costs is not counted here.
    """
    made = optuna.create_study(direction="maximize")
    shown = shown_to(sampler, table.space)
    study = SearchStudy(made.study_name, storage_of(made), sampler, pruner or NopPruner(), shown)
    if prediction is not None:
        made.set_user_attr(PREDICTION, prediction.to_dict())
    protected = _enqueue_baselines(study, table) if baselines else 0
    scores: dict[str, list[float]] = {}
    used: dict[str, int] = {}
    records: list[Record] = []
    spent, proposals = 0.0, 0
    while spent < budget and proposals < PATIENCE * budget / table.share:
        trial = study.ask()
        proposals += 1
        architecture = table.space.sample(trial).canonical(table.space.stages)
        key = architecture.hash
        if not table.holds(architecture):  # as infeasible as a network that breaks a constraint, and as free
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        if used.get(key, 0) == len(seeds):
            spent += 1  # as in a search, where an answer is one of the trials that were asked for
            trial.set_user_attr("hash", key)
            trial.set_user_attr("value_source", ANSWERED)
            study.tell(trial, fmean(scores[key]) if scores.get(key) else None,
                       state=None if scores.get(key) else optuna.trial.TrialState.PRUNED)  # fmt: skip
            continue
        measured = table.measurement(architecture, seeds[used.get(key, 0)])
        used[key] = used.get(key, 0) + 1
        trial.set_user_attr("architecture", architecture.to_dict())
        trial.set_user_attr("seed", measured.seed)
        reached = _reached(trial, measured, protected=trial.number < protected)
        spent += measured.rungs[reached].epoch / table.rungs[-1]
        records.append(_record(trial.number, architecture, measured, reached))
        for name, value in _attributes(records[-1]).items():
            trial.set_user_attr(name, value)
        if reached == len(measured.rungs) - 1:
            scores.setdefault(key, []).append(measured.rungs[-1].score)
            study.tell(trial, fmean(scores[key]))
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        if settled is not None and settled(study):
            break
    return records


def ranked(records: Sequence[Record], by: str) -> list[str]:
    """Hashes of the trained networks, best first: by ``single`` best training, ``mean`` over seeds, or ``pooled``.

    ``accuracy`` is the pooled model without the losses as further readings.
    """
    accuracies: dict[str, list[float]] = {}
    first: dict[str, Record] = {}
    for record in records:
        if record.score is not None:
            accuracies.setdefault(record.hash, []).append(record.score)
            first.setdefault(record.hash, record)
    worth = {key: max(seen) if by == "single" else fmean(seen) for key, seen in accuracies.items()}
    model = None
    if by == "pooled":
        model = fit(records)
    elif by == "accuracy":
        model = fitted([replace(one, views=rungs_of(one)) for one in observations(records)])
    if model is not None:
        means = model.predict([choices_of(record) for record in first.values()]).mean
        worth = dict(zip(first, means.tolist(), strict=True))
    return sorted(worth, key=worth.__getitem__, reverse=True)


def _enqueue_baselines(study: optuna.Study, table: Table | World) -> int:
    known = [params for _, network in table.space.baselines() if (params := table.space.params(network)) is not None]
    for params in known:
        study.enqueue_trial(params)
    return len(known)


def _reached(trial: optuna.Trial, measurement: Measurement, *, protected: bool) -> int:
    """Index of the rung at which the trial ends; baselines are never stopped."""
    for index, rung in enumerate(measurement.rungs[:-1]):
        trial.report(rung.score, rung.epoch)
        if trial.should_prune() and not protected and not passes(0, trial.number, index, PASSING):
            return index
    return len(measurement.rungs) - 1


def _attributes(record: Record) -> dict[str, Any]:
    """The attributes that a search writes for a training that ended: samplers may read all of them."""
    assert record.measurement is not None
    return {
        "hash": record.hash,
        "measurement": record.measurement.to_dict(),
        "value_source": TRAINED,
        "outcome": record.outcome,
    }


def _record(number: int, architecture: Architecture, measurement: Measurement, reached: int) -> Record:
    whole = reached == len(measurement.rungs) - 1
    return Record(
        number=number,
        stages=tuple(choice.to_dict() for choice in architecture.stages),
        hash=architecture.hash,
        seed=measurement.seed,
        outcome="complete" if whole else "pruned",
        measurement=Measurement(
            outcome=Outcome.COMPLETE if whole else Outcome.PRUNED,
            rungs=measurement.rungs[: reached + 1],
            train_loss_sum=measurement.train_loss_sum if whole else None,
            seed=measurement.seed,
        ),
    )
