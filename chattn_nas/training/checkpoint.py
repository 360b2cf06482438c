"""Checkpoints of a final training, from which it resumes exactly."""

from __future__ import annotations

import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from chattn_nas.arguments import asked_by
from chattn_nas.errors import NewerFormatError, RunError, first_line, unreadable
from chattn_nas.files import replacing
from chattn_nas.stored import Stored, renamed

log = logging.getLogger(__name__)
NAME = "checkpoint.pt"
#: What the plans of earlier versions do not say, because there was no choice yet.
THEN = {"branch_scale": 1.0, "start": "official"}


@dataclass(frozen=True, kw_only=True)
class Header(Stored):
    """The part of a checkpoint that describes it.

    Attributes:
        plan: What is trained, and how; a checkpoint of another plan is refused.
        epoch: Number of epochs that are done.
        rows: Rows of the log so far.
    """

    FORMAT: ClassVar[int] = 2

    plan: dict[str, Any]
    epoch: int
    rows: list[dict[str, Any]]

    @classmethod
    def upgraded(cls, data: dict[str, Any], format: int) -> dict[str, Any]:
        """Convert format 1, which called the score of a row its accuracy."""
        return data if format > 1 else data | {"rows": [renamed(row, accuracy="score") for row in data["rows"]]}


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state at the end of an epoch; the seeds of the next one follow from its number.

    Attributes:
        header: Plan, epoch and log.
        network, optimizer, ema: States; ``optimizer`` by parameter, ``ema`` may be ``None``.
    """

    header: Header
    network: dict[str, Tensor]
    optimizer: list[dict[str, Any]]
    ema: dict[str, Tensor] | None

    def write(self, directory: Path) -> None:
        """Write the checkpoint into a folder; a reader finds the whole file or the one before."""
        states = {"network": self.network, "optimizer": self.optimizer, "ema": self.ema}
        with replacing(directory / NAME) as partial:
            torch.save({"header": self.header.to_dict(), **states}, partial)


def read_checkpoint(directory: Path, plan: dict[str, Any]) -> Checkpoint | None:
    """Read the checkpoint in a folder; ``None`` if there is none, or if it is damaged, which is logged.

    Raises:
        NewerFormatError: A newer version of this package wrote it.
        RunError: It belongs to another plan, or may be intact but cannot be read now.
    """
    path = directory / NAME
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at its checksums
            if (bad := archive.testzip()) is not None:
                raise ValueError(f"{bad} has another checksum")
        stored = torch.load(path, map_location="cpu", weights_only=True)
        header = Header.from_dict(stored.get("header", stored), str(path))  # format 1 had all beside the states
        if "momentum" in stored:  # before there were other optimisers than SGD
            stored["optimizer"] = [{"momentum_buffer": value} for value in stored["momentum"]]
        checkpoint = Checkpoint(header=header, **{name: stored[name] for name in ("network", "optimizer", "ema")})
    except NewerFormatError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # whatever torch and zip files say of half a file
        reason = first_line(error)
        log.warning("%s is damaged (%s): the training starts over", path, reason)
        return None
    refuse_another(directory, header.plan, plan)
    return checkpoint


def refuse_another(directory: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Refuse to continue a training under another plan.

    Raises:
        RunError: The plans differ; the message says how.
    """
    old = {**{name: value for name, value in THEN.items() if name in new}, **old}
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if changed:
        words = ", ".join(f"{name} {old.get(name)!r}, not {new.get(name)!r}" for name in changed)
        raise RunError(
            f"the training in {directory} was started with {words}: remove that folder to start over, or take another "
            f"seed ({asked_by('--seed', 'seed=...')})"
        )


def states_of(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The optimiser's state of every parameter, in the order of the parameters."""
    return [
        dict(optimizer.state.get(parameter, {})) for group in optimizer.param_groups for parameter in group["params"]
    ]


@torch.no_grad()
def restore(
    checkpoint: Checkpoint, network: nn.Module, optimizer: torch.optim.Optimizer, ema: nn.Module | None
) -> None:
    """Load the states of a checkpoint; no tensor moves."""
    network.load_state_dict(checkpoint.network)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states = checkpoint.optimizer or [{}] * len(parameters)  # format 1 kept nothing where the momentum was 0
    for parameter, stored in zip(parameters, states, strict=True):
        held = optimizer.state[parameter]
        for name, value in stored.items():
            if isinstance(held.get(name), Tensor):
                held[name].copy_(value)
            else:
                held[name] = value.to(parameter.device) if isinstance(value, Tensor) else value
    if ema is not None and checkpoint.ema is not None:
        ema.load_state_dict(checkpoint.ema)
