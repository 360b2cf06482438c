"""The user attributes of trials and studies, typed: all that is stored besides what Optuna keeps itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial

from chattn_nas.errors import RunError
from chattn_nas.proxy import Measurement, Outcome
from chattn_nas.stored import Stored

#: Where the value of a complete trial comes from.
TRAINED, ANSWERED = "trained", "replicates answered from the record"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialAttributes(Stored):
    """The user attributes of one trial.

    Attributes:
        architecture: Canonical, as :meth:`Architecture.to_dict` gives it.
        hash: Of the architecture.
        seed: On which it trains.
        label: ``none``, ``uniform se``, ``random_gate``, ``channel_scale`` for baselines, else empty.
        given: The architecture, where it was given and is not in the space.
        measurement: What the training gave, with costs.
        costs_relative: Costs as multiples of the backbone without attention.
        value_source: Its own training, or the record of earlier seeds.
        outcome, reason: How it ended, and why in words.
        rungs: With several objectives, score and costs at every rung so far; Optuna lets such trials report nothing.
        passed_at_random: Rungs at which others beat it and it went on all the same.
        nni_experiment: The experiment of NNI that made it.
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
        """Per stage the choice as a mapping: ``type`` and its settings; empty before one was proposed.

        Raises:
            RunError: They are damaged.
        """
        found = (self.architecture or {}).get("stages", ())
        if not isinstance(found, list | tuple) or not all(
            isinstance(one, Mapping) and isinstance(one.get("type"), str) for one in found
        ):
            raise RunError(f"the architecture that a trial keeps is damaged: its stages are {found!r}")
        return tuple(found)

    @property
    def trained(self) -> bool:
        """Whether it trains itself."""
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
        spec: The spec that it was made with, as the study keeps it.
        spec_hash: Of what all its trials must have in common.
        run_id: Identity of the run that it belongs to.
        stages: Slots of the backbone, see :func:`chattn_nas.study.run.stage_from_dict`.
        reference: Costs of the backbone without attention; ``None`` before the first worker began.
        defaults: Of the settings of every attention of the space, by type, as they were when the search began.
        versions, hardware: What the first session ran on.
        changes: What was another in later sessions.
        loaded_weights: Where the backbone's weights came from.
        validation_images: How many images score a trial.
        metric: Name of the score.
        unit: What scores are told in, see :class:`chattn_nas.unit.Unit`.
        floor: ``score`` of having learnt nothing and ``by``, what answers so.
        data_fingerprint, plugin_fingerprint: Content of the data, code of the user's own parts.
        plan: Of a confirmation: one row per network.
        confirmation: What ``confirm`` found; :func:`chattn_nas.judging.confirmation` reads it.
        confirmation_looks: What was judged at every look.
        test_set: The one reading of the test set.
        ended: Why no further trial is taken, as a sentence; empty where the search goes on.
        gates: What the gates of one trained network do, class by class: ``hash, seed, images, classes, stages``.
        final_trainings: Every finished final training by its folder's name.
        one_shot: What shared weights say of the space, see :class:`chattn_nas.study.prediction.Prediction`.
    """

    spec: Mapping[str, Any] = field(default_factory=dict)
    spec_hash: str = ""
    run_id: str = ""
    stages: tuple[Mapping[str, Any], ...] = ()
    reference: Mapping[str, float] | None = None
    defaults: Mapping[str, Mapping[str, Any]] | None = None
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
        """Name of the run; empty where the study has no spec."""
        return str(self.spec.get("name", ""))

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives of the search."""
        return tuple(self.section("search").get("objectives", ("accuracy",)))

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the spec as it is stored, empty where there is none."""
        found = self.spec.get(name, {})
        return found if isinstance(found, Mapping) else {}


def trial_attributes(trial: FrozenTrial | Trial) -> TrialAttributes:
    """The attributes of a trial.

    Raises:
        RunError: Another version wrote them in a format that this one does not know, or they are damaged.
    """
    return TrialAttributes.from_dict(trial.user_attrs, f"trial {trial.number}")


def study_attributes(study: optuna.Study) -> StudyAttributes:
    """The attributes of a study, read once.

    Raises:
        RunError: Another version wrote them in a format that this one does not know, or they are damaged.
    """
    return StudyAttributes.from_dict(study.user_attrs, f"the study {study.study_name!r}")
