"""What a final training gave."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from chattn_nas.files import replacing

log = logging.getLogger(__name__)
NAME = "result.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """A finished training; its weights lie beside it.

    Attributes:
        plan: What was trained and how.
        test_accuracy, test_loss: On the test set, read once at the end; accuracy 0 to 1.
        accuracy, loss: On the validation set; ``None`` where the network was trained on it.
        seconds: Length of all epochs, over all sessions.
        date: When it ended, ISO.
        device, versions: What the numbers depend on.
    """

    plan: dict[str, Any]
    test_accuracy: float
    test_loss: float
    accuracy: float | None
    loss: float | None
    seconds: float
    date: str
    device: str
    versions: dict[str, str]

    def write(self, directory: Path) -> None:
        """Into a folder, at once."""
        with replacing(directory / NAME) as partial:
            partial.write_text(json.dumps(asdict(self), indent=2) + "\n")


def read_result(directory: Path) -> TrainingResult | None:
    """The result in a folder, or ``None`` while there is none, or where it is damaged, which is logged.

    What another version of the package wrote beside it is passed over.
    """
    path = directory / NAME
    if not path.is_file():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        given = {field.name: stored[field.name] for field in fields(TrainingResult) if field.name in stored}
        return TrainingResult(**given)
    except (ValueError, TypeError, OSError) as error:
        log.warning("%s is damaged (%s) and counts as missing", path, (str(error).splitlines() or [""])[0])
        return None
