"""The result of a calibration: how well each fidelity ranks networks, and the cheapest that suffices."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import pandas as pd
import yaml
from scipy import stats

from chattn_nas.judging.agreement import LEAST_SHOWN, Agreement, Excess
from chattn_nas.judging.fidelities import Fidelity
from chattn_nas.judging.holm import holm
from chattn_nas.results import words
from chattn_nas.stored import Stored

#: Probability that any candidate is recommended which does not reach the asked part of the ceiling.
ERROR = 0.05
#: Standard deviations above its limit at which a test finds a difference with a probability of 80 %.
Z80 = 0.841621


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One fidelity.

    Attributes:
        fidelity: How it trains.
        agreement: With full training, one seed of each; ``None`` where it was not measured.
        seconds: Mean length of one training.
        excess: By how much its tau lies above the asked part of the ceiling.
        reason: Why it was not measured.
    """

    fidelity: Fidelity
    agreement: Agreement | None = None
    excess: Excess | None = None
    seconds: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Calibration(Stored):
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

    FORMAT: ClassVar[int] = 2

    spec: Fidelity
    full: Fidelity
    full_seconds: float
    ceiling: Agreement
    tried: tuple[Tried, ...]
    part: float

    @property
    def recommended(self) -> Tried | None:
        """The cheapest that is shown to reach that part of the ceiling; of all tried, any is shown wrongly in 5 %.

        By Holm's method (1979): of six that do not suffice one passes by luck more often than one alone.
        None where full training itself does not rank better than chance: then nothing can be said of any proxy.
        """
        if not self.ceiling.tau_low > 0:
            return None
        judged = [(one, one.excess.p) for one in self.tried if one.excess is not None]
        corrected = holm([p for _, p in judged])
        shown = [one for (one, _), p in zip(judged, corrected, strict=True) if p < ERROR]
        return min(shown, key=lambda one: one.seconds or 0.0, default=None)

    @property
    def needed(self) -> tuple[Tried, int] | None:
        """The candidate that the fewest architectures would show to suffice, and about how many, at 80 %."""
        count, sample_sizes = self.ceiling.architectures, []
        limit = float(stats.norm.isf(ERROR / max(1, sum(one.excess is not None for one in self.tried))))
        for candidate in self.tried:
            if candidate.excess is not None and candidate.excess.mean > 0:
                times = ((limit + Z80) * candidate.excess.sd / candidate.excess.mean) ** 2
                sample_sizes.append((candidate, max(LEAST_SHOWN, math.ceil(count * max(times, 1.0)) + 1)))
        return min(sample_sizes, key=lambda pair: (pair[1], pair[0].seconds or 0.0), default=None)

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
        best, needed = self.recommended, self.needed
        if best is not None and best.agreement is not None:
            tau = _interval(best.agreement.tau, best.agreement.tau_low, best.agreement.tau_high)
            return said + (
                f"The cheapest that is shown to reach {self.part:.0%} of that is {best.fidelity}, with a tau of {tau}, "
                f"at {self._cost(best):.0%} of the time of a full training."
            )
        if needed is not None:
            return said + (
                f"No candidate is shown to reach {self.part:.0%} of that: more architectures are needed, about "
                f"{needed[1]} to show it of {needed[0].fidelity} if its tau is what it was here, which so few leave "
                "open."
            )
        return said + f"Among these, no candidate reaches {self.part:.0%} of that: train longer, or more architectures."

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
                **{key: getattr(agreement, key) if agreement is not None else None for key in columns},
                "seconds": seconds,
                "cost": None if seconds is None else seconds / self.full_seconds,
                "note": note,
            }
            for fidelity, agreement, seconds, note in rows
        )

    @classmethod
    def upgraded(cls, data: dict[str, Any], format: int) -> dict[str, Any]:
        """Format 1 kept a limit of each excess in place of its probability."""
        if format == 1:
            tried = [dict(one) for one in data["tried"]]
            for one in tried:
                if own := one.get("excess"):
                    p = float(stats.norm.sf(own["mean"] / own["sd"])) if own["sd"] else float(own["low"] <= 0)
                    one["excess"] = {"mean": own["mean"], "sd": own["sd"], "p": p if p == p else 1.0}
            data = data | {"tried": tried}
        return data

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with what is concluded; :meth:`from_dict` reads them back."""
        best = self.recommended
        return super().to_dict() | {
            "recommended": None if best is None else asdict(best.fidelity),
            "words": self.words,
            "spec_lines": self.spec_lines,
        }

    def _cost(self, candidate: Tried) -> float:
        return (candidate.seconds or 0.0) / self.full_seconds


def _interval(mean: float, low: float, high: float) -> str:
    return f"{mean:.2f} (95 % interval {words.accuracy(low)} to {words.accuracy(high)})"
