"""The files that the dashboard shows for a trial: its learning curve and its log, in Optuna's artifact store."""

from __future__ import annotations

import logging
import math
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact

from chattn_nas.proxy import Rung
from chattn_nas.study.attributes import TrialAttributes
from chattn_nas.study.texts import LOG, REASON, printable
from chattn_nas.unit import ACCURACY, Unit

log = logging.getLogger(__name__)
FOLDER = "artifacts"
#: Lines of a trial's log; one that warns at every step says nothing new.
MOST_LINES = 200


class Artifacts(logging.Handler):
    """Collects the log of this process during a trial, and stores it with the trial's curve.

    Args:
        directory: Directory of the run; a dashboard on another machine sees the files only where the folder is shared.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.folder = directory / FOLDER
        self.lines: list[str] = []
        self.thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one log record, unless it comes from another trial's thread."""
        if record.thread == self.thread:
            self.lines.append(printable(self.format(record), REASON))
            del self.lines[:-MOST_LINES]

    def begin(self) -> None:
        """Begin to collect, and drop the log of an earlier trial."""
        self.lines.clear()
        self.thread = threading.get_ident()
        logging.getLogger("chattn_nas").addHandler(self)

    def store(self, trial: optuna.Trial, stored: TrialAttributes, unit: Unit = ACCURACY) -> None:
        """Upload the files of a trial that is about to end; on a full disk only they are lost, not the result."""
        logging.getLogger("chattn_nas").removeHandler(self)
        measured = stored.measurement.rungs if stored.measurement is not None and stored.trained else ()
        rungs = [rung for rung in measured if math.isfinite(rung.score)]
        if not measured and not self.lines:
            return
        files = {"log.txt": ("text/plain", _log(stored, self.lines))}
        if rungs:
            files["learning-curve.svg"] = ("image/svg+xml", curve(rungs, unit))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            store = FileSystemArtifactStore(str(self.folder))
            with tempfile.TemporaryDirectory() as place:
                for name, (kind, text) in files.items():
                    path = Path(place) / name
                    path.write_text(text, encoding="utf-8")
                    upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=trial, mimetype=kind)
        except OSError as error:
            log.warning("the files of trial %d could not be stored: %s", trial.number, error)


def _log(stored: TrialAttributes, lines: Sequence[str]) -> str:
    head = [f"architecture {stored.hash}, seed {stored.seed}"]
    measured = stored.measurement
    if measured is not None:
        head += [f"epoch {rung.epoch}: score {rung.score:.4f}, loss {rung.loss:.4f}" for rung in measured.rungs]
        for key in ("seconds", "images_per_second", "peak_memory", "train_loss_sum", "device"):
            if value := getattr(measured, key):
                head.append(f"{key}: {value}")
    head.append(f"outcome: {stored.outcome} {stored.reason}".rstrip())
    return printable("\n".join([*head, *lines]), LOG) + "\n"


def curve(rungs: Sequence[Rung], unit: Unit = ACCURACY) -> str:
    """The score at every rung as an SVG picture: percent from 0 to 100, another unit from the lowest to the highest.

    Scores are finite.
    """
    left, top, width, height = 46.0, 14.0, 380.0, 200.0
    last = rungs[-1].epoch
    scores = [unit.shown(rung.score) for rung in rungs]
    low, high = (0.0, 100.0) if unit.unit == "%" else (min(scores), max(scores))
    reach = (high - low) or 1.0
    points = [
        (left + width * rung.epoch / last, top + height * (1 - (score - low) / reach))
        for rung, score in zip(rungs, scores, strict=True)
    ]
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#d55e00"/>'
        f'<text x="{x:.1f}" y="{y - 9:.1f}" text-anchor="end">{unit.text(rung.score)}</text>'
        f'<text x="{x:.1f}" y="{top + height + 18:.1f}" text-anchor="middle">{rung.epoch}</text>'
        for (x, y), rung in zip(points, rungs, strict=True)
    )
    grid = "".join(
        f'<path d="M{left} {top + height * (1 - level):.1f}h{width}" stroke="#ddd"/>'
        f'<text x="{left - 6}" y="{top + height * (1 - level) + 4:.1f}" text-anchor="end">'
        f"{low + reach * level:.4g}</text>"
        for level in (0, 0.25, 0.5, 0.75, 1)
    )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 450 262" width="450" height="262" '
        'font-family="sans-serif" font-size="12"><rect width="450" height="262" fill="#fff"/>'
        f'{grid}<polyline points="{line}" fill="none" stroke="#d55e00" stroke-width="2"/>{marks}'
        f'<text x="{left + width / 2}" y="{top + height + 38}" text-anchor="middle">epochs; validation {unit.title}'
        f"{unit.unit and ' in ' + {'%': 'percent'}.get(unit.unit, unit.unit)}</text></svg>\n"
    )
