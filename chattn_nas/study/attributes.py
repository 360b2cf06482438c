"""The user attributes of trials and studies as typed records: everything stored besides Optuna's own data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial

from chattn_nas.errors import RunError
from chattn_nas.proxy import Measurement, Outcome
from chattn_nas.stored import Stored
from chattn_nas.unit import Unit, percent

#: Where the value of a complete trial comes from.
TRAINED, ANSWERED = "trained", "replicates answered from the record"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialAttributes(Stored):
    """The user attributes of one trial.

    Attributes:
        architecture: The canonical architecture, from :meth:`Architecture.to_dict`.
        hash: Hash of the architecture.
        seed: Seed of the training.
        label: ``none``, ``uniform se``, ``random_gate``, ``channel_scale`` for baselines, else empty.
        given: The architecture, if it was queued with one that is not in the space.
        measurement: Result of the training, with costs.
        costs_relative: Costs as multiples of the backbone without attention.
        value_source: The trial's own training, or the record of earlier seeds.
        outcome, reason: How it ended, and why, in words.
        rungs: With several objectives, score and costs at every rung so far, since such trials cannot report to Optuna.
        passed_at_random: Rungs at which others beat it and it went on all the same.
        nni_experiment: The NNI experiment that created it.
    """

    architecture: Mapping[str, Any] | None = None
    hash: str | None = None
    seed: int | None = None
    label: str = ""
    given: Mapping[str, Any] | None = None
    measurement: Measurement | None = None
    costs_relative: Mapping[str, float] = field(default_factory=dict)
    value_source: str = TRAINED
    outcome: Outcome | None = None
    reason: str = ""
    rungs: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    passed_at_random: tuple[int, ...] = ()
    nni_experiment: str | None = None

    @property
    def stages(self) -> tuple[Mapping[str, Any], ...]:
        """The choice of every stage as a mapping of ``type`` and its settings; empty before there is a proposal.

        Raises:
            RunError: The stored choices are damaged.
        """
        choices = (self.architecture or {}).get("stages", ())
        if not isinstance(choices, list | tuple) or not all(
            isinstance(choice, Mapping) and isinstance(choice.get("type"), str) for choice in choices
        ):
            raise RunError(f"the stored architecture of a trial is damaged: its stages are {choices!r}")
        return tuple(choices)

    @property
    def trained(self) -> bool:
        """Whether the trial has its own training."""
        return self.value_source == TRAINED

    @classmethod
    def upgraded(cls, data: dict[str, Any], format: int) -> dict[str, Any]:
        """The measurement has a format of its own."""
        measured = data.get("measurement")
        if isinstance(measured, Mapping):
            data["measurement"] = Measurement.from_dict(measured, "the measurement of a trial") if measured else None
        return data


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyAttributes(Stored):
    """The user attributes of a study.

    Attributes:
        spec: The spec of the study, as stored.
        spec_hash: Hash of what all trials must have in common.
        run_id: Identity of the run that the study belongs to.
        stages: Slots of the backbone, see :meth:`chattn_nas.space.Stage.from_dict`.
        reference: Costs of the backbone without attention; ``None`` before the first worker began.
        defaults: Default settings of every attention of the space, by type, as of the start of the search.
        searched: Settings, as (type, key), that the space leaves open; a confirmation has those of its search.
        versions, hardware: Versions and hardware of the first session.
        changes: What differed in later sessions.
        loaded_weights: Where the backbone's weights came from.
        validation_images: Number of images that score a trial.
        metric: Name of the score.
        unit: Unit of the scores, see :class:`chattn_nas.unit.Unit`.
        floor: ``score`` of a network that has learnt nothing, and ``by``, the answer that gives it.
        data_fingerprint, plugin_fingerprint: Fingerprints of the data and of the code of the user's own parts.
        plan: Plan of a confirmation: one row per network.
        confirmation: Result of ``confirm``; :func:`chattn_nas.judging.confirmation` reads it.
        confirmation_looks: The trainings that were judged at every look.
        test_set: The one reading of the test set.
        ended: Why no further trial is taken, as a sentence; empty while the search goes on.
        gates: The gates of one trained network by class: ``hash, seed, images, classes, stages``.
        final_trainings: Every finished final training by its folder's name.
        one_shot: Prediction by shared weights, see :class:`chattn_nas.study.prediction.Prediction`.
    """

    spec: Mapping[str, Any] = field(default_factory=dict)
    spec_hash: str = ""
    run_id: str = ""
    stages: tuple[Mapping[str, Any], ...] = ()
    reference: Mapping[str, float] | None = None
    defaults: Mapping[str, Mapping[str, Any]] | None = None
    searched: tuple[tuple[str, str], ...] | None = None
    versions: Mapping[str, Any] = field(default_factory=dict)
    hardware: str = ""
    changes: tuple[str, ...] = ()
    loaded_weights: str = ""
    validation_images: int | None = None
    metric: str = "accuracy"
    unit: Mapping[str, Any] | None = None
    floor: Mapping[str, Any] | None = None
    data_fingerprint: Mapping[str, Any] | None = None
    plugin_fingerprint: Mapping[str, str] | None = None
    plan: tuple[dict[str, Any], ...] = ()
    confirmation: Mapping[str, Any] | None = None
    confirmation_looks: tuple[str, ...] = ()
    test_set: Mapping[str, Any] | None = None
    ended: str = ""
    gates: Mapping[str, Any] | None = None
    final_trainings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    one_shot: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Name of the run; empty if the study has no spec."""
        return str(self.spec.get("name", ""))

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives of the search."""
        return tuple(self.section("search").get("objectives", ("accuracy",)))

    @property
    def scored_in(self) -> Unit:
        """The unit of the scores; percent for a study from before there were tasks."""
        return Unit.from_dict(self.unit) if self.unit else percent(self.metric)

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the stored spec, empty if there is none."""
        section = self.spec.get(name, {})
        return section if isinstance(section, Mapping) else {}


def trial_attributes(trial: FrozenTrial | Trial) -> TrialAttributes:
    """Read the attributes of a trial.

    Raises:
        RunError: They are damaged, or in a format that this version does not know.
    """
    return TrialAttributes.from_dict(trial.user_attrs, f"trial {trial.number}")


def study_attributes(study: optuna.Study) -> StudyAttributes:
    """Read the attributes of a study.

    Raises:
        RunError: They are damaged, or in a format that this version does not know.
    """
    return StudyAttributes.from_dict(study.user_attrs, f"the study {study.study_name!r}")
