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


def told(outcome: str) -> str:
    """How a reader is told an outcome, everywhere: ``stopped early`` for ``pruned``."""
    return "stopped early" if outcome == Outcome.PRUNED else outcome.replace("_", " ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """The network at the end of one rung.

    Attributes:
        epoch: Epochs trained so far.
        score: On the validation set, by the metric of the data, 0 to 1; top-1 accuracy by default.
        loss: Mean cross-entropy on the validation set.
        figures: Beside the score, at the last rung: recall and precision of every class, confusion of classes.
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
        ratio: At the start, root mean square behind an attention over that of the map that would be there without it;
            geometric mean over the stage. 1 where a norm follows, which takes any scale out.
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
        outcome, reason: How it ended, and why in words where not ``complete``.
        rungs: One entry per rung that was reached.
        train_loss_sum: Sum over all steps of the mean training loss (a training-speed estimate).
        first_epoch_loss: Mean training loss over the steps of the first epoch.
        stage_scales: Per stage with attention, how large the map behind it is.
        seconds: Length of training and evaluation, without building the network.
        images_per_second: Training images per second of training time.
        peak_memory: Bytes; of the device on CUDA, of the process on a CPU.
        test_score: On the test set, 0 to 1; only where it was asked for: a search never does.
        accumulate: Parts that each batch was taken in: 2 where the whole one did not fit.
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
        """On the validation set at the last rung reached."""
        return self.rungs[-1].score if self.rungs else None

    @property
    def loss(self) -> float | None:
        """Validation loss at the last rung reached."""
        return self.rungs[-1].loss if self.rungs else None

    def with_costs(self, costs: Mapping[str, float]) -> Measurement:
        """This measurement with the costs of its network, by name."""
        found = {name: costs.get(name, getattr(self, name)) for name in ("parameters", "macs", "latency")}
        return replace(self, **found)

    @classmethod
    def upgraded(cls, data: dict[str, Any], format: int) -> dict[str, Any]:
        """Format 1 called every score an accuracy."""
        if format > 1:
            return data
        rungs = [renamed(rung, accuracy="score") for rung in data.get("rungs", ())]
        return renamed(data, test_accuracy="test_score") | {"rungs": rungs}
