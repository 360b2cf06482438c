"""The ``judging`` section of a spec: what a difference must be worth."""

from __future__ import annotations

from pydantic import Field

from chattn_nas.settings import Settings

#: Points of accuracy that are worth having, unless the spec says otherwise.
USEFUL = 0.3


class JudgingSettings(Settings):
    """How verdicts are reached.

    Attributes:
        useful: Smallest gain worth having, in points (in decibels for such a metric): the verdict is "does not pay"
            only if the interval excludes it, and plans aim to show it.

    In a spec:
        useful: 0.3  # points
    """

    useful: float = Field(default=USEFUL, gt=0, le=100)
