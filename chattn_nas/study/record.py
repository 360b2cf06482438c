"""One trial of a study as plain values, from which tables, model and report start."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import optuna
from optuna.trial import FrozenTrial, TrialState

from chattn_nas import attention
from chattn_nas.arguments import checked
from chattn_nas.proxy.measurement import Measurement, Rung
from chattn_nas.study.attributes import study_attributes, trial_attributes
from chattn_nas.study.metric import unit_of
from chattn_nas.unit import ACCURACY, Unit

#: What a trial that has no ``outcome`` yet is called.
_STATES = {
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "crashed",
}
CONTROL = "random_gate"
RIVAL = "channel_scale"
CONTROLS = (CONTROL, RIVAL)
NONE = "none"
UNIFORM = "uniform "


@dataclass(frozen=True, kw_only=True)
class Record:
    """One trial.

    Attributes:
        number: Number of the Optuna trial.
        stages: The choice of every stage as a mapping of ``type`` and its settings; empty before there is a proposal.
        choices: The same in words, such as ``se(reduction=4)``; settings that are default everywhere are left out.
        hash: Hash of the canonical architecture.
        seed: Training seed.
        label: ``none``, ``uniform se``, ``random_gate``, ``channel_scale`` for baselines, else empty.
        outcome, reason: How it ended, and why, in words.
        measurement: Result of the training; ``None`` if nothing was trained.
        relative: Costs as multiples of the backbone without attention.
        started, finished: Local times.
        trained: Whether it has its own training (not answered from the record of earlier seeds).
        unit: Unit of the scores.
    """

    number: int
    stages: tuple[Mapping[str, Any], ...] = ()
    choices: tuple[str, ...] = ()
    hash: str = ""
    seed: int | None = None
    label: str = ""
    outcome: str = "running"
    reason: str = ""
    measurement: Measurement | None = None
    relative: Mapping[str, float] = field(default_factory=dict)
    started: datetime | None = None
    finished: datetime | None = None
    trained: bool = True
    unit: Unit = ACCURACY

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs that this trial reached in its own training."""
        return self.measurement.rungs if self.measurement is not None and self.trained else ()

    @property
    def score(self) -> float | None:
        """Validation score of a complete training, 0 to 1; ``None`` otherwise."""
        return self.rungs[-1].score if self.outcome == "complete" and self.rungs else None

    @property
    def shown(self) -> float:
        """The score in its unit, such as percent; NaN if there is none."""
        return self.unit.shown(self.score)

    @cached_property
    def key(self) -> tuple[tuple[str, str], ...]:
        """The type and the full choice of every stage, hashable."""
        return tuple((str(stage["type"]), key_of(stage)) for stage in self.stages)

    @property
    def description(self) -> str:
        """The architecture in words."""
        return " | ".join(self.choices)

    @property
    def control(self) -> bool:
        """Whether every stage has the control, which attention must beat and which never wins."""
        types = {stage["type"] for stage in self.stages}
        return self.label in CONTROLS or (len(types) == 1 and types <= set(CONTROLS))


def in_words(
    stage: Mapping[str, Any],
    searched: Set[tuple[str, str]] = frozenset(),
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """A stage's choice in words, with the settings that were searched (type, key) and those that are not the default.

    If a setting is given that otherwise follows from others (ECA's kernel size in its canonical form), those others say
    nothing and are left out. A type that is not registered here, perhaps because its plug-in is missing, is shown with
    all its settings. The study's ``defaults`` by type take precedence over those of the registry.
    """
    name = str(stage["type"])
    usual = _defaults_of(name) if defaults is None else defaults.get(name, {})
    derived = any(usual.get(key, "") is None and value is not None for key, value in stage.items())
    shown = [
        f"{key}={value}"
        for key, value in stage.items()
        if key != "type" and (key not in usual or value != usual[key] or ((name, key) in searched and not derived))
    ]
    return f"{name}({', '.join(shown)})" if shown else name


def _defaults_of(name: str) -> Mapping[str, Any]:
    known = attention.registered(name)  # imports torch
    return known.defaults if known is not None else {}


def key_of(stage: Mapping[str, Any]) -> str:
    """A hashable form of a stage's choice."""
    return json.dumps(stage, sort_keys=True)


@checked
def records(study: optuna.Study) -> list[Record]:
    """All trials of a study, in the order of their numbers."""
    trials = study.get_trials(deepcopy=False)
    searched = searched_in(set().union(*(trial.params for trial in trials)))
    defaults = study_attributes(study).defaults
    unit = unit_of(study)
    words, read = _read.get(study, (None, {}))
    if words != (searched, defaults, unit):
        read = {}
    said: dict[str, str] = {}
    all_records = []
    for trial in trials:
        seen, record = read.get(trial.number, (None, None))
        if seen is not trial or record is None:
            record = record_of(trial, searched, defaults, unit, said)
            if trial.state.is_finished():  # and so never changes
                read[trial.number] = trial, record
        all_records.append(record)
    _read[study] = (searched, defaults, unit), read
    return all_records


#: What was read of a study: a report asks for its records a dozen times.
_read: WeakKeyDictionary[optuna.Study, tuple[Any, dict[int, tuple[FrozenTrial, Record]]]] = WeakKeyDictionary()


def searched_in(parameters: Iterable[str]) -> set[tuple[str, str]]:
    """The settings, as (type, key), among the parameters of a trial, which :func:`in_words` then shows."""
    return {_setting(name) for name in parameters if name.count(".") >= 2}


def _setting(parameter: str) -> tuple[str, str]:
    """Type and key of ``stage2.se.reduction``."""
    name, key = parameter.split(".", 1)[1].rsplit(".", 1)
    return name, key


def record_of(
    trial: FrozenTrial,
    searched: Set[tuple[str, str]] = frozenset(),
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    unit: Unit = ACCURACY,
    worded: dict[str, str] | None = None,
) -> Record:
    """Make the record of one trial; ``searched`` and ``defaults`` are those of :func:`in_words`.

    ``worded`` holds choices that were put into words already: a study has thousands of trials and few choices.
    """
    stored = trial_attributes(trial)
    stages = stored.stages
    worded = {} if worded is None else worded
    texts = [repr(stage) for stage in stages]
    for text, stage in zip(texts, stages, strict=True):
        if text not in worded:
            worded[text] = in_words(stage, searched, defaults)
    return Record(
        number=trial.number,
        stages=stages,
        choices=tuple(worded[text] for text in texts),
        hash=stored.hash or "",
        seed=stored.seed,
        label=stored.label,
        outcome=str(stored.outcome or _STATES[trial.state]),
        reason=stored.reason,
        measurement=stored.measurement,
        relative=stored.costs_relative,
        started=trial.datetime_start,
        finished=trial.datetime_complete,
        trained=stored.trained,
        unit=unit,
    )


def once_per_seed(records: Sequence[Record]) -> list[Record]:
    """The records with at least one rung; of each architecture and seed only the one that was trained furthest."""
    kept: dict[tuple[str, int | None], Record] = {}
    for record in records:
        if not record.rungs or record.outcome not in ("complete", "pruned"):
            continue
        known = kept.get((record.hash, record.seed))
        if known is None or len(known.rungs) < len(record.rungs):
            kept[record.hash, record.seed] = record
    return sorted(kept.values(), key=lambda record: record.number)
