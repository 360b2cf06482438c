"""One trial of a study as plain values, from which tables, model and report start."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import optuna
from optuna.trial import FrozenTrial, TrialState

from chattn_nas import attention
from chattn_nas.arguments import checked
from chattn_nas.proxy.measurement import Measurement, Rung
from chattn_nas.study._optuna import FixedStudy
from chattn_nas.study.attributes import study_attributes, trial_attributes
from chattn_nas.study.short import UNIFORM as UNIFORM
from chattn_nas.study.short import short_name
from chattn_nas.unit import ACCURACY, Unit

if TYPE_CHECKING:
    from chattn_nas.space import SearchSpace

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
    def short_name(self) -> str:
        """The architecture where there is little room: a control's label, else the short form of its stages."""
        return short_name(self.label, self.choices)

    @property
    def control(self) -> bool:
        """Whether every stage has the control, which attention must beat and which never wins."""
        types = {stage["type"] for stage in self.stages}
        return self.label in CONTROLS or (len(types) == 1 and types <= set(CONTROLS))


@dataclass(frozen=True)
class Wording:
    """How the trials of a study are put into words, so that a network has the same name wherever it is named.

    Attributes:
        searched: Settings, as (type, key), that the space leaves open: they are always named, all others only where
            they are not the default.
        defaults: Default settings by type, as of the start of the search; the registry's for types that are missing.
        unit: Unit of the scores.
    """

    searched: frozenset[tuple[str, str]] = frozenset()
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unit: Unit = ACCURACY
    _known: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of_space(cls, space: SearchSpace) -> Wording:
        """The wording of networks of a space that no study holds."""
        return cls(searched_in(space.parameters()))

    def choices(self, stages: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
        """The choice of every stage in words; a study has thousands of trials and few choices."""
        texts = [(repr(stage), stage) for stage in stages]
        return tuple(self._known.get(key) or self._known.setdefault(key, self._choice(stage)) for key, stage in texts)

    def _choice(self, stage: Mapping[str, Any]) -> str:
        """One choice in words, such as ``se(reduction=16)``.

        If a setting is given that otherwise follows from others (ECA's kernel size in its canonical form), those others
        say nothing and are left out. A type that is not registered here, perhaps because its plug-in is missing, is
        shown with all its settings.
        """
        name = str(stage["type"])
        usual = self.defaults.get(name)
        if usual is None:
            known = attention.registered(name)  # imports torch
            usual = known.defaults if known is not None else {}
        derived = any(usual.get(key, "") is None and value is not None for key, value in stage.items())
        shown = [
            f"{key}={value}"
            for key, value in stage.items()
            if key != "type"
            and (key not in usual or value != usual[key] or ((name, key) in self.searched and not derived))
        ]
        return f"{name}({', '.join(shown)})" if shown else name


def wording_of(study: optuna.Study) -> Wording:
    """The wording of a study's trials; earlier versions did not store what is searched, but its trials show it."""
    stored = study_attributes(study)
    if stored.searched is None:
        searched = searched_in(name for trial in study.get_trials(deepcopy=False) for name in trial.params)
    else:
        searched = frozenset(stored.searched)
    return Wording(searched, stored.defaults or {}, stored.scored_in)


def key_of(stage: Mapping[str, Any]) -> str:
    """A hashable form of a stage's choice."""
    return json.dumps(stage, sort_keys=True)


@checked
def records(study: optuna.Study) -> list[Record]:
    """All trials of a study, in the order of their numbers."""
    wording, read = _read.get(study, (None, {}))
    if wording != (now := wording_of(study)):
        wording, read = now, {}
    all_records = []
    for trial in study.get_trials(deepcopy=False):
        seen, record = read.get(trial.number, (None, None))
        if seen is not trial or record is None:
            record = record_of(trial, wording)
            if trial.state.is_finished():  # and so never changes
                read[trial.number] = trial, record
        all_records.append(record)
    _read[study] = wording, read
    return all_records


def fixed(study: optuna.Study) -> optuna.Study:
    """The study as it is now; records that were read of it are not read again."""
    now = FixedStudy(study)
    if study in _read:
        _read[now] = _read[study]
    return now


#: What was read of a study: a report asks for its records a dozen times.
_read: WeakKeyDictionary[optuna.Study, tuple[Wording, dict[int, tuple[FrozenTrial, Record]]]] = WeakKeyDictionary()


def searched_in(parameters: Iterable[str]) -> frozenset[tuple[str, str]]:
    """The settings among the parameters of trials, as (type, key): ``("se", "reduction")`` of ``stage2.se.reduction``.

    A name without a second dot, ``stage2.type``, is of no setting.
    """
    settings = (name.partition(".")[2].rpartition(".") for name in parameters)
    return frozenset((kind, key) for kind, _, key in settings if kind)


def record_of(trial: FrozenTrial, wording: Wording) -> Record:
    """Make the record of one trial."""
    stored = trial_attributes(trial)
    return Record(
        number=trial.number,
        stages=stored.stages,
        choices=wording.choices(stored.stages),
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
        unit=wording.unit,
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
