"""Ranks the architectures of a study, with the uncertainty of every margin."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError, RunError
from chattn_nas.results.pooled import Choices, choices_of
from chattn_nas.results.tables import CRITERIA, by_architecture, pooled
from chattn_nas.results.uniform import Uniformity
from chattn_nas.spec.judging_settings import USEFUL
from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.record import CONTROL, NONE, RIVAL, Record, records

#: Limit of a test at 5 % in standard deviations; so far above it one finds a difference with a probability of 80 %.
Z95, Z80 = 1.959964, 0.841621


@dataclass(frozen=True, kw_only=True)
class Pick:
    """One architecture with the evidence behind it; accuracies in percent.

    Attributes:
        hash, description, label, stages: The architecture (``stages``: a mapping per stage).
        choices: The choice of every stage, in words.
        seeds: The seeds of its complete trainings, in order.
        mean, se, single: Mean over those seeds, its standard error (``None`` with one seed), the best of them.
        pooled, sd: Posterior mean and standard deviation of the pooled model (``None`` without a model).
        half: Half-width of its 95 % interval.
        number: Number of its best trial.
        costs, relative: Costs of that trial.
        control: Whether it is the random gate or the learned channel scale.
        uniform: Whether all stages that can take its type have it, whatever their settings.
        bounds: The smallest and the largest possible score.
    """

    hash: str
    description: str
    label: str
    stages: tuple[dict[str, Any], ...]
    choices: tuple[str, ...]
    seeds: tuple[int, ...]
    mean: float
    se: float | None
    single: float
    pooled: float | None
    sd: float | None
    half: float | None
    number: int
    costs: dict[str, float | None]
    relative: dict[str, float]
    control: bool
    uniform: bool = False
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the pooled mean, within the bounds of the score; ``None`` without a model."""
        if self.pooled is None or self.half is None:
            return None
        return max(self.pooled - self.half, self.bounds[0]), min(self.pooled + self.half, self.bounds[1])

    def value(self, by: str) -> float:
        """The value that ``pooled``, ``mean`` or ``single`` ranks by."""
        if by not in CRITERIA:
            raise InputError(f"cannot rank by {by!r}", value=by, choices=CRITERIA)
        return {"pooled": self.mean if self.pooled is None else self.pooled, "mean": self.mean, "single": self.single}[
            by
        ]


@dataclass(frozen=True)
class Margin:
    """The lead of one architecture over another, in points, with its posterior ``sd`` and a 95 % interval."""

    mean: float
    sd: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


class Standing:
    """The ranking of the architectures in a study.

    Attributes:
        picks: All completely trained architectures, best pooled mean first.
        useful: The spec's smallest gain worth having, in points.
    """

    def __init__(self, study: optuna.Study) -> None:
        trials = records(study)
        self.useful = float(study_attributes(study).section("judging").get("useful", USEFUL))
        groups = by_architecture(trials)
        self._model = pooled(trials)
        self._choices = {group[0].hash: choices_of(group[0]) for group in groups}
        posteriors: list[tuple[float, float, float] | None] = [None] * len(groups)
        if self._model is not None and groups:
            estimate = self._model.predict(list(self._choices.values()))
            posteriors = list(zip(estimate.mean.tolist(), estimate.sd.tolist(), estimate.half.tolist(), strict=True))
        uniform = Uniformity(study, trials)
        picks = [_pick(group, posterior, uniform) for group, posterior in zip(groups, posteriors, strict=True)]
        self.picks = sorted(picks, key=lambda pick: -pick.value("pooled"))

    def best(self, by: str = "pooled") -> Pick:
        """The best by ``pooled`` mean, ``mean`` over seeds or ``single`` trial; never a control.

        Raises:
            InputError: Another ``by``.
            RunError: Nothing was trained to the end.
        """
        if by not in CRITERIA:
            raise InputError(f"cannot rank by {by!r}", value=by, choices=CRITERIA)
        eligible = [pick for pick in self.picks if not pick.control]
        if not eligible:
            raise RunError("no trial of this run was trained to the end, so there is no best one")
        return max(eligible, key=lambda pick: pick.value(by))

    def baselines(self) -> list[Pick]:
        """Every completely trained baseline, best first."""
        return [pick for pick in self.picks if pick.label]

    def labelled(self, label: str) -> Pick | None:
        """The baseline with that label."""
        return next((pick for pick in self.picks if pick.label == label), None)

    def best_uniform(self) -> Pick | None:
        """The uniform network with the highest pooled mean, whatever its settings, which mixed networks must beat."""
        return next((pick for pick in self.picks if pick.uniform), None)

    def best_mixed(self) -> Pick | None:
        """The best network that is neither uniform nor without attention nor a control."""
        return next((pick for pick in self.picks if not (pick.control or pick.uniform or pick.label == NONE)), None)

    def uniforms(self) -> int:
        """Number of uniform networks that the best one was chosen from."""
        return sum(pick.uniform for pick in self.picks)

    def best_attention(self) -> Pick | None:
        """The best network that has attention somewhere and is no control."""
        return next((pick for pick in self.picks if not pick.control and pick.label != NONE), None)

    def none(self) -> Pick | None:
        """The backbone without attention."""
        return self.labelled(NONE)

    def control(self) -> Pick | None:
        """The random-gate control."""
        return self.labelled(CONTROL)

    def channel_scale(self) -> Pick | None:
        """The learned factor per channel: a gate's freedom without its look at the input."""
        return self.labelled(RIVAL)

    def margin(self, first: Pick, second: Pick) -> Margin | None:
        """The margin of ``first`` over ``second`` by the pooled model; ``None`` without a model."""
        if self._model is None:
            return None
        estimate = self._model.differences([self._choices[first.hash]], [self._choices[second.hash]])
        return Margin(float(estimate.mean[0]), float(estimate.sd[0]), float(estimate.low[0]), float(estimate.high[0]))

    def trainings_to_show(self, first: Pick, second: Pick, difference: float) -> int | None:
        """About how many more trainings would show a true ``difference`` between the two with a probability of 80 %.

        Assumes that the variance of the margin falls with the number of trainings, over ever more seeds: trainings on
        one seed alone never show what another seed would do. ``None`` without a model.
        """
        margin = self.margin(first, second)
        if margin is None or self._model is None:
            return None
        complete = sum(observation.complete for observation in self._model.seen)
        return max(0, math.ceil(complete * ((margin.sd * (Z95 + Z80) / difference) ** 2 - 1)))

    @property
    def modelled(self) -> bool:
        """Whether there are enough trainings for the pooled model."""
        return self._model is not None

    @property
    def seeds(self) -> int:
        """Number of seeds shared by at least two complete trainings, which tell a seed's luck from a type's worth."""
        counted = Counter(one.seed for one in self._model.seen if one.complete) if self._model else Counter[Any]()
        return sum(count > 1 for count in counted.values())

    @property
    def trainings(self) -> int:
        """Number of complete trainings in the model."""
        return sum(one.complete for one in self._model.seen) if self._model else 0

    @property
    def views(self) -> dict[str, float]:
        """Further readings of a training that the model used, and the worth of each; see :class:`.Pooled`."""
        return {} if self._model is None else self._model.worth

    def scatter(self) -> float | None:
        """Standard deviation of one training around its network and seed, including the seed's effects on types."""
        if self._model is None:
            return None
        deviations = self._model.deviations
        stages = len(self._model.seen[0].choices)
        return float((deviations["noise"] ** 2 + stages * deviations["type_seed"] ** 2) ** 0.5)

    def foresee(self, choices: Sequence[Choices]) -> list[float]:
        """The model's means for networks, trained or not; empty without a model."""
        return [] if self._model is None or not choices else self._model.predict(choices).mean.tolist()

    def noise(self) -> float | None:
        """Learned standard deviation of one training run around its architecture and seed, in points."""
        return None if self._model is None else self._model.deviations["noise"]


@checked
def best(study: optuna.Study, by: str = "pooled") -> Pick:
    """The recommended architecture of a study; see :meth:`Standing.best`."""
    return Standing(study).best(by)


def _pick(group: Sequence[Record], posterior: tuple[float, float, float] | None, uniform: Uniformity) -> Pick:
    accuracies = [record.shown for record in group]
    mean = sum(accuracies) / len(group)
    spread = sum((value - mean) ** 2 for value in accuracies)
    top = group[accuracies.index(max(accuracies))]
    measured = top.measurement
    label = next((record.label for record in group if record.label), "")
    return Pick(
        hash=top.hash,
        description=top.description,
        label=label,
        stages=tuple(dict(stage) for stage in top.stages),
        choices=top.choices,
        seeds=tuple(sorted(record.seed for record in group if record.seed is not None)),
        mean=mean,
        se=(spread / (len(group) - 1) / len(group)) ** 0.5 if len(group) > 1 else None,
        single=max(accuracies),
        pooled=None if posterior is None else posterior[0],
        sd=None if posterior is None else posterior[1],
        half=None if posterior is None else posterior[2],
        number=top.number,
        costs={
            "parameters": measured.parameters if measured else None,
            "macs": measured.macs if measured else None,
            "latency": measured.latency if measured else None,
        },
        relative=dict(top.relative),
        control=top.control,
        uniform=uniform(top.stages, label),
        bounds=top.unit.bounds,
    )
