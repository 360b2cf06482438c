"""What a calibration found: how far each fidelity ranks as full training does, and the cheapest that may do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
import yaml

from chattn_nas.judging.agreement import Agreement
from chattn_nas.judging.fidelities import Fidelity
from chattn_nas.results import words

SURE = "Its whole interval lies above that."
UNSURE = "So few architectures leave wide intervals: it is not shown to be worse, no more."


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One fidelity.

    Attributes:
        fidelity: How it trains.
        agreement: With full training, one seed of each; ``None`` where it was not measured.
        seconds: Mean length of one training.
        reason: Why it was not measured.
    """

    fidelity: Fidelity
    agreement: Agreement | None = None
    seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The result.

    Attributes:
        spec: The spec's own fidelity.
        full: Full training.
        full_seconds: Mean length of one full training.
        ceiling: How far full training agrees with itself on another seed: what a proxy as good as one more
            full training reaches.
        tried: The candidates, the least work first.
        part: The part of the ceiling that was asked for.
    """

    spec: Fidelity
    full: Fidelity
    full_seconds: float
    ceiling: Agreement
    tried: tuple[Tried, ...]
    part: float

    @property
    def recommended(self) -> Tried | None:
        """The cheapest whose interval reaches that part of the ceiling and leaves out zero.

        None where full training itself does not rank better than chance: then nothing can be said of any proxy.
        """
        if not self.ceiling.tau_low > 0:
            return None
        able = [
            one
            for one in self.tried
            if one.agreement is not None
            and one.agreement.tau_low > 0
            and one.agreement.tau_high >= self.part * self.ceiling.tau
        ]
        return min(able, key=lambda one: one.seconds or 0.0, default=None)

    @property
    def words(self) -> str:
        """The verdict in a few sentences."""
        ceiling = self.ceiling
        said = (
            f"Over {ceiling.architectures} architectures, two full trainings ({self.full}) on different seeds agree to "
            f"a Kendall tau of {_interval(ceiling.tau, ceiling.tau_low, ceiling.tau_high)}: a proxy that "
            "agrees with them as well ranks as well as one more of them. "
        )
        if not ceiling.tau_low > 0:
            return said + (
                "That is no better than chance, so no proxy can be judged: the architectures differ by less than the "
                "noise. More architectures, more seeds or more images may tell them apart."
            )
        best = self.recommended
        if best is None or best.agreement is None:
            return said + f"No candidate's interval reaches {self.part:.0%} of that: train longer than these."
        found = best.agreement
        sure = found.tau_low >= self.part * ceiling.tau
        return said + (
            f"The cheapest whose interval reaches {self.part:.0%} of that is {best.fidelity}, with a tau of "
            f"{_interval(found.tau, found.tau_low, found.tau_high)}, at {self._cost(best):.0%} of the time of a full "
            f"training. {SURE if sure else UNSURE}"
        )

    @property
    def spec_lines(self) -> str:
        """YAML to put into the spec; empty where it may stay as it is or nothing is recommended."""
        best = self.recommended
        lines = best.fidelity.spec_lines(self.spec) if best else {}
        return yaml.safe_dump(lines, sort_keys=False, default_flow_style=None) if lines else ""

    def table(self) -> pd.DataFrame:
        """One row per candidate, then full training against itself; intervals are 95 %."""
        rows = [(one.fidelity, one.agreement, one.seconds, one.reason) for one in self.tried]
        rows.append((self.full, self.ceiling, self.full_seconds, "full training on two seeds: the ceiling"))
        columns = tuple(Agreement.__dataclass_fields__)
        return pd.DataFrame(
            {
                "fidelity": str(fidelity),
                **{key: getattr(found, key) if found is not None else None for key in columns},
                "seconds": seconds,
                "cost": None if seconds is None else seconds / self.full_seconds,
                "note": note,
            }
            for fidelity, found, seconds, note in rows
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        best = self.recommended
        return asdict(self) | {
            "recommended": None if best is None else asdict(best.fidelity),
            "words": self.words,
            "spec_lines": self.spec_lines,
        }

    def _cost(self, one: Tried) -> float:
        return (one.seconds or 0.0) / self.full_seconds


def _interval(mean: float, low: float, high: float) -> str:
    return f"{mean:.2f} (95 % interval {words.accuracy(low)} to {words.accuracy(high)})"
