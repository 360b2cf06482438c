"""Constraints on costs that are known before training."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from chattn_nas.errors import InputError

_PATTERN = re.compile(r"<=\s*(?P<number>\d+(\.\d*)?([eE][+-]?\d+)?)\s*(?P<unit>x|[kKmMgG]|ms|us|s)?")
_UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "s": 1.0, "ms": 1e-3, "us": 1e-6}
COSTS = ("parameters", "macs", "latency")


@dataclass(frozen=True)
class Constraint:
    """An upper bound, absolute or relative to the same backbone without attention.

    Attributes:
        limit: The bound; latency in seconds.
        relative: ``limit`` is a multiple of the reference.
        unit: The unit as it was written, perhaps none.
    """

    limit: float
    relative: bool
    unit: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Parse ``<= 1.05x``, ``<= 300k``, ``<= 1.2G`` or, for a latency, ``<= 5ms``.

        Raises:
            InputError: The text has none of these forms.
        """
        match = _PATTERN.fullmatch(str(text).strip())
        if match is None or math.isinf(float(match["number"])):
            raise InputError(
                f"{text!r} is no constraint; possible: '<= 1.05x', '<= 300k', '<= 2.5M', '<= 1.2G', '<= 5ms'"
            )
        unit = match["unit"] or ""
        if unit == "x":
            return cls(float(match["number"]), relative=True, unit=unit)
        return cls(float(match["number"]) * _UNITS[unit.lower()], relative=False, unit=unit)

    def violation(self, value: float, reference: float) -> float:
        """Excess over the bound, as a fraction of it; at most 0 if the constraint holds."""
        bound = self.limit * reference if self.relative else self.limit
        return value / bound - 1 if bound else value

    def satisfied(self, value: float, reference: float) -> bool:
        """Whether ``value`` is within the bound."""
        return self.violation(value, reference) <= 0
