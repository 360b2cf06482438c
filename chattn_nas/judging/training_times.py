"""How long trainings of a space's networks take, from the paces of the few that were timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from chattn_nas.proxy.paths import SCORED_BATCHES
from chattn_nas.search.pace import Pace

#: What a step without backward and update takes of a whole one.
FORWARD = 1 / 3


@dataclass(frozen=True)
class TrainingTimes:
    """Predicted seconds of trainings.

    Attributes:
        paces: How fast networks train here: ``none`` first, then the slowest type, then others.
        uniform: Names of the uniform baselines, whether they were timed or not.
        empty: Share of the slots that stay empty in an average network.
    """

    paces: Sequence[Pace]
    uniform: Sequence[str]
    empty: float

    def baseline(self, name: str, rungs: Sequence[int], reached: int | None = None) -> float:
        """Seconds of one baseline; the controls cost hardly more than ``none``."""
        bare = self.paces[0]
        if name not in (self.uniform or [bare.network]):
            return bare.seconds(rungs, reached)
        timed = [one for one in self.paces if one.network == name]
        # What was not timed is taken to be like what was, the slowest left out.
        return fmean(one.seconds(rungs, reached) for one in timed or self.paces[2:] or self._attended)

    def average(self, rungs: Sequence[int], reached: int | None = None) -> float:
        """Seconds of a network in which a share of the stages has no attention."""
        bare = self.paces[0]
        attended = fmean(self.baseline(name, rungs, reached) for name in self.uniform or [bare.network])
        return self.empty * bare.seconds(rungs, reached) + (1 - self.empty) * attended

    def one_shot(self, epochs: int, networks: int) -> float:
        """Seconds of the training of shared weights, and of the scores of so many networks with them."""
        return self.average([epochs]) + networks * SCORED_BATCHES * FORWARD * fmean(one.step for one in self._attended)

    @property
    def _attended(self) -> Sequence[Pace]:
        return self.paces[1:] or self.paces
