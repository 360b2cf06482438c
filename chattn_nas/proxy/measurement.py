"""What one training run gave."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How a trial ended."""

    COMPLETE = "complete"  #: trained through all rungs
    PRUNED = "pruned"  #: stopped at a rung: others were better
    INFEASIBLE = "infeasible"  #: violates a constraint, or cannot be built; never trained
    OUT_OF_MEMORY = "out_of_memory"  #: did not fit, half the batch neither
    DIVERGED = "diverged"  #: loss not finite, or accuracy at chance after the first rung
    TIMED_OUT = "timed_out"  #: exceeded its limit of seconds
    CRASHED = "crashed"  #: raised an exception, or its worker died


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """The network at the end of one rung.

    Attributes:
        epoch: Epochs trained so far.
        accuracy: Top-1 on the validation set, 0 to 1.
        loss: Mean cross-entropy on the validation set.
    """

    epoch: int
    accuracy: float
    loss: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One network, trained once.

    Attributes:
        outcome, reason: How it ended, and why in words where not ``complete``.
        rungs: One entry per rung that was reached.
        train_loss_sum: Sum over all steps of the mean training loss (a training-speed estimate).
        seconds: Length of training and evaluation, without building the network.
        images_per_second: Training images per second of training time.
        peak_memory: Bytes; of the device on CUDA, of the process on a CPU.
        test_accuracy: Top-1 on the test set, 0 to 1; only where it was asked for: a search never does.
        accumulate: Parts that each batch was taken in: 2 where the whole one did not fit.
        parameters, macs, latency: Costs; latency in seconds per batch, ``None`` where not measured.
        seed, device, versions: What the numbers depend on.
    """

    outcome: Outcome
    reason: str = ""
    rungs: tuple[Rung, ...] = ()
    test_accuracy: float | None = None
    train_loss_sum: float | None = None
    seconds: float = 0.0
    images_per_second: float | None = None
    peak_memory: int | None = None
    accumulate: int = 1
    parameters: int | None = None
    macs: int | None = None
    latency: float | None = None
    seed: int = 0
    device: str = "cpu"
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy at the last rung reached."""
        return self.rungs[-1].accuracy if self.rungs else None

    @property
    def loss(self) -> float | None:
        """Validation loss at the last rung reached."""
        return self.rungs[-1].loss if self.rungs else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; :meth:`from_dict` reads them back."""
        return asdict(self) | {"outcome": str(self.outcome)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Measurement:
        """From what :meth:`to_dict` gave."""
        rungs = tuple(Rung(**rung) for rung in data["rungs"])
        return cls(**{**data, "outcome": Outcome(data["outcome"]), "rungs": rungs})
