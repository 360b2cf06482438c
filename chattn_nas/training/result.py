"""The result of a final training."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import optuna

from chattn_nas.errors import NewerFormatError, RunError, first_line, unreadable
from chattn_nas.files import replacing
from chattn_nas.stored import Stored, renamed
from chattn_nas.study.attributes import study_attributes

log = logging.getLogger(__name__)
NAME = "result.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainingResult(Stored):
    """A finished training; its weights lie beside it.

    Attributes:
        plan: What was trained, and how.
        test_score, test_loss: Score (0 to 1) and loss on the test set, which is read once, at the end.
        score, loss: Score and loss on the validation set; ``None`` if the network was trained on it.
        seconds: Duration of all epochs, over all sessions.
        date: ISO date of the end.
        device, versions: What the numbers depend on.
    """

    FORMAT: ClassVar[int] = 2

    plan: dict[str, Any]
    test_score: float
    test_loss: float
    score: float | None
    loss: float | None
    seconds: float
    date: str
    device: str
    versions: dict[str, str]

    def write(self, directory: Path) -> None:
        """Write the result into a folder, whole or not at all."""
        with replacing(directory / NAME) as partial:
            partial.write_text(json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def upgraded(cls, data: dict[str, Any], format: int) -> dict[str, Any]:
        """Format 1 called every score an accuracy."""
        return renamed(data, accuracy="score", test_accuracy="test_score") if format == 1 else data


def read_result(directory: Path) -> TrainingResult | None:
    """Read the result in a folder; ``None`` if there is none yet, or if it is damaged, which is logged.

    Raises:
        NewerFormatError: A newer version of this package wrote it.
        RunError: It may be intact, but cannot be read now.
    """
    path = directory / NAME
    if not path.is_file():
        return None
    try:
        return TrainingResult.from_dict(json.loads(path.read_text(encoding="utf-8")), str(path))
    except NewerFormatError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RunError) as error:
        log.warning("%s is damaged (%s) and counts as missing", path, first_line(error))
        return None


def final_trainings(study: optuna.Study) -> dict[str, TrainingResult]:
    """Every finished training of a run, by its folder's name, in the order in which they ended."""
    kept = study_attributes(study).final_trainings
    return {name: TrainingResult.from_dict(plain, f"the training {name}") for name, plain in kept.items()}
