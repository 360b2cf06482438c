"""The result of one training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar

from chattn_nas.stored import Stored, renamed


class Outcome(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"  #: trained through all rungs
    PRUNED = "pruned"  #: stopped at a rung: others were better
    INFEASIBLE = "infeasible"  #: violates a constraint, or cannot be built; never trained
    OUT_OF_MEMORY = "out_of_memory"  #: did not fit, half the batch neither
    DIVERGED = "diverged"  #: loss not finite, or accuracy at chance after the first rung
    TIMED_OUT = "timed_out"  #: exceeded its limit of seconds
    CRASHED = "crashed"  #: raised an exception, or its worker died


def outcome_words(outcome: str) -> str:
    """The outcome as readers see it, such as ``stopped early`` for ``pruned``."""
    return "stopped early" if outcome == Outcome.PRUNED else outcome.replace("_", " ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """The network at the end of one rung.

    Attributes:
        epoch: Epochs trained so far.
        score: Validation score by the metric of the data, 0 to 1; top-1 accuracy by default.
        loss: Mean cross-entropy on the validation set.
        figures: Further figures, at the last rung: recall and precision of every class, confusion of classes.
    """

    epoch: int
    score: float
    loss: float
    figures: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageScale:
    """The maps behind the attentions of one stage, on a fixed batch of training images.

    Attributes:
        stage: Its number, from 1.
        ratio: Root mean square behind an attention at the start, relative to the map without it; geometric mean over
            the stage. It is 1 if a norm follows, which removes any scale.
        start, end: Root mean square behind the attentions before and after training, mean over the stage.
    """

    stage: int
    ratio: float
    start: float
    end: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement(Stored):
    """One network, trained once.

    Attributes:
        outcome, reason: How it ended and, unless ``complete``, why.
        rungs: One entry per rung that was reached.
        train_loss_sum: Sum over all steps of the mean training loss (a training-speed estimate).
        first_epoch_loss: Mean training loss over the steps of the first epoch.
        stage_scales: Scale of the map behind attention, per stage with attention.
        seconds: Duration of training and evaluation, without building the network.
        images_per_second: Training images per second of training time.
        peak_memory: Peak memory during the training in bytes: of the device on CUDA, of the whole process elsewhere.
        test_score: Score on the test set, 0 to 1, if requested; a search never does.
        accumulate: Number of parts that each batch was split into: 2 if the whole batch did not fit.
        parameters, macs, latency: Costs; latency in seconds per batch, ``None`` where not measured.
        seed, device, versions: What the numbers depend on.
    """

    FORMAT: ClassVar[int] = 2

    outcome: Outcome
    reason: str = ""
    rungs: tuple[Rung, ...] = ()
    test_score: float | None = None
    train_loss_sum: float | None = None
    first_epoch_loss: float | None = None
    stage_scales: tuple[StageScale, ...] = ()
    seconds: float = 0.0
    images_per_second: float | None = None
    peak_memory: int | None = None
    accumulate: int = 1
    parameters: int | float | None = None
    macs: int | float | None = None
    latency: float | None = None
    seed: int = 0
    device: str = "cpu"
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """Validation score at the last rung reached."""
        return self.rungs[-1].score if self.rungs else None

    @property
    def loss(self) -> float | None:
        """Validation loss at the last rung reached."""
        return self.rungs[-1].loss if self.rungs else None

    def with_costs(self, costs: Mapping[str, float]) -> Measurement:
        """This measurement with the costs of its network, by name."""
        merged = {name: costs.get(name, getattr(self, name)) for name in ("parameters", "macs", "latency")}
        return replace(self, **merged)

    @classmethod
    def upgraded(cls, data: dict[str, Any], format: int) -> dict[str, Any]:
        """Format 1 called every score an accuracy."""
        if format > 1:
            return data
        rungs = [renamed(rung, accuracy="score") for rung in data.get("rungs", ())]
        return renamed(data, test_accuracy="test_score") | {"rungs": rungs}
