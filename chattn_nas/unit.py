"""The unit in which a score is printed: percent and points, or decibels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

#: Metrics that are the share of the images answered rightly.
SHARES = ("accuracy", "top5")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """How the scores of one metric are printed; more is better.

    Attributes:
        name: Name of the metric in columns and objectives, such as ``mean_iou``.
        title: Its name in sentences, such as ``mean IoU``.
        unit: Printed after a score: ``%``, ``dB``; may be empty.
        difference: Printed after a difference: ``points``, ``dB``.
        scale: Factor from a stored score to the printed one: 100 for percent.
        digits: Digits after the decimal point.
    """

    name: str = "accuracy"
    title: str = "accuracy"
    unit: str = "%"
    difference: str = "points"
    scale: float = 100.0
    digits: int = 2

    @property
    def of_images(self) -> bool:
        """Whether a score is the share of images with the right answer."""
        return self.name in SHARES

    @property
    def bounds(self) -> tuple[float, float]:
        """The smallest and the largest possible score, as shown: no interval of a share exceeds 100 %."""
        return (0.0, 100.0) if self.unit == "%" else (-math.inf, math.inf)

    def shown(self, score: float | None) -> float:
        """Convert a stored score to the one that is shown; NaN for ``None``."""
        return math.nan if score is None else self.scale * score

    def stored(self, shown: float | None) -> float | None:
        """The inverse of :meth:`shown`, exact to the bit wherever such a stored score exists."""
        if shown is None:
            return None
        near = shown / self.scale
        beside = (near, math.nextafter(near, math.inf), math.nextafter(near, -math.inf))
        return next((score for score in beside if self.scale * score == shown), near)

    def text(self, score: float | None) -> str:
        """A stored score with its unit: ``92.13 %``."""
        return self.written(self.shown(score))

    def written(self, shown: float) -> str:
        """A shown score with its unit: ``28.66 dB``."""
        return f"{shown:.{self.digits}f} {self.unit}".rstrip()

    def reach(self, low: float, high: float) -> str:
        """An interval of shown scores, no finer than it tells: ``8.3 to 14.0`` percent, but ``27.93 to 27.98`` dB."""
        digits = min(self.digits, 1) if self.unit == "%" else self.digits
        return f"{low:.{digits}f} to {high:.{digits}f}"

    def apart(self, shown: float) -> str:
        """A difference of shown scores, unsigned: ``0.42 points``."""
        return f"{abs(shown):.{self.digits}f} {self.difference}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values; :meth:`from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Unit:
        """A unit from what :meth:`to_dict` gave, in this version of the package or another."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})


#: Titles of metrics whose names are no words.
TITLES = {
    "macro_f1": "macro F1",
    "top5": "top-5 accuracy",
    "auroc": "AUROC",
    "average_precision": "mean average precision",
    "log_loss": "exp(-log loss)",
    "mean_iou": "mean IoU",
}
#: What every study was scored in before there were tasks.
ACCURACY = Unit()


def percent(name: str, title: str | None = None) -> Unit:
    """The unit of a metric of 0 to 1; its title is known, or its name in words."""
    return Unit(name=name, title=title or TITLES.get(name, name.replace("_", " ")))
