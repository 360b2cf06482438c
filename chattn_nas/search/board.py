"""The live display of a search on a terminal: progress, what every worker is doing, the best network so far."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from chattn_nas.plural import plural
from chattn_nas.proxy.pulse import Facts
from chattn_nas.results.words import about

#: Workers that are shown; of more only their number.
MOST = 8
PHASES = {"reading": "reading the data", "building": "building", "training": "training", "scoring": "scoring"}


@dataclass(frozen=True, kw_only=True)
class BoardState:
    """The content of the board.

    Attributes:
        target, ended: Target number of trials (``None`` if only time ends the search), and how many have ended.
        stopped, failed: How many of those were stopped early, and how many failed.
        left: Seconds that the rest will take, as of ``as_of`` (monotonic clock); ``None`` before the first trial ended.
        best: The best network so far, in words.
        workers: What every worker is doing; empty for one that has not reported yet.
    """

    target: int | None
    ended: int = 0
    stopped: int = 0
    failed: int = 0
    left: float | None = None
    as_of: float = 0.0
    best: str = ""
    workers: Sequence[Facts] = ()

    @property
    def remaining(self) -> str:
        """``about 3.2 min left``."""
        if self.left is None or (self.target is not None and self.ended >= self.target):
            return ""
        return f"about {about(max(0.0, self.left - (time.monotonic() - self.as_of)))} left"

    @property
    def trials(self) -> str:
        """``3 of 24 trials``."""
        return plural(self.ended, "trial") if self.target is None else f"{self.ended} of {plural(self.target, 'trial')}"

    @property
    def words(self) -> str:
        """The whole display in one line."""
        parts = [self.trials, self.remaining]
        parts += [doing(one) for one in self.workers[:MOST]]
        return "; ".join(part for part in (*parts, self.best) if part)


def doing(facts: Facts) -> str:
    """The state of one worker: ``trial 3, se8 | eca3 | -, epoch 4 of 16, step 12 of 18, 2,310 images/s``."""
    phase = str(facts.get("phase", ""))
    if not phase:
        return "starts: imports, which takes some seconds"
    if "trial" not in facts:
        return PHASES.get(phase, str(phase))
    parts = [f"trial {facts['trial']}", facts.get("network", "")]
    if phase == "training" and "epoch" in facts:
        parts.append(f"epoch {facts['epoch']} of {facts['epochs']}, step {facts['step']} of {facts['steps']}")
        parts.append(f"{facts['images_per_second']:,.0f} images/s")
    else:
        parts.append(PHASES.get(phase, phase))
    return ", ".join(part for part in parts if part)


def board(state: BoardState) -> RenderableType:
    """Return the display for :class:`rich.live.Live`; it fits 80 columns."""
    top = Table.grid(padding=(0, 1), expand=True)
    top.add_column(no_wrap=True)
    top.add_column(ratio=1)
    top.add_column(no_wrap=True, justify="right")
    counts = f"{state.stopped} stopped early, {state.failed} failed"
    said = ", ".join(part for part in (counts, state.remaining) if part)
    pulse = state.target is None
    top.add_row(state.trials, ProgressBar(state.target or 1, state.ended, pulse=pulse), said)
    lines: list[RenderableType] = [top]
    for index, facts in enumerate(state.workers[:MOST]):
        number = f"worker {facts.get('worker', index)}: " if len(state.workers) > 1 else ""
        lines.append(Text(f"{number}{doing(facts)}", no_wrap=True, overflow="ellipsis"))
    if len(state.workers) > MOST:
        lines.append(Text(f"and {len(state.workers) - MOST} more workers"))
    if state.best:
        lines.append(Text(state.best, style="bold"))
    return Group(*lines)
