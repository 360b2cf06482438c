"""The different networks of a space as rows of integers: per stage the index of its choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from chattn_nas.network.constraints import Constraint
from chattn_nas.results.pooled import Choices
from chattn_nas.space import Architecture, SearchSpace
from chattn_nas.study.record import key_of

#: Spaces of more networks are never listed.
LISTED = 2000
#: Networks drawn at a time where feasible ones are looked for, and how often.
DRAWN, TIMES = 500, 20


class Networks:
    """The networks of a space, as rows.

    Args:
        space: The space.

    Attributes:
        forms: The different choices per stage, in canonical form.
        keys: The same choices as the pooled model names them: type and full choice.
        types: The index of the type among all types, per stage and choice.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.forms = [list(dict.fromkeys(choices.values())) for choices in space.canonical]
        self.keys = [[(form.type, key_of(form.to_dict())) for form in forms] for forms in self.forms]
        names = list(dict.fromkeys(form.type for forms in self.forms for form in forms))
        self.types = [np.array([names.index(form.type) for form in forms]) for forms in self.forms]
        self.sizes = np.array([len(forms) for forms in self.forms])
        self._place = [{key: place for place, key in enumerate(keys)} for keys in self.keys]

    @property
    def most_types(self) -> int:
        """Number of types in the stage that has most."""
        return max(len(np.unique(kinds)) for kinds in self.types)

    @cached_property
    def added(self) -> list[np.ndarray]:
        """Parameters and MACs that each choice adds, by the types' closed formulas: (choices, 2) per stage."""
        stages = zip(self.forms, self.space.stages, strict=True)
        return [np.array([form.cost(stage) for form in forms], dtype=float) for forms, stage in stages]

    @cached_property
    def listed(self) -> np.ndarray | None:
        """Every network, (networks, stages); ``None`` if there are too many."""
        if self.space.canonical_size > LISTED:
            return None
        return np.stack(np.meshgrid(*map(np.arange, self.sizes), indexing="ij"), -1).reshape(-1, len(self.sizes))

    def drawn(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw networks at random, (count, stages)."""
        return rng.integers(0, self.sizes, (count, len(self.sizes)))

    def choices(self, row: np.ndarray) -> Choices:
        """The choices of a row, as the pooled model names them."""
        return tuple(keys[place] for keys, place in zip(self.keys, row, strict=True))

    def row(self, choices: Choices) -> tuple[int, ...] | None:
        """The inverse of :meth:`choices`; ``None`` if the network is not in the space."""
        if len(choices) != len(self._place):
            return None
        places = [known.get(key) for known, key in zip(self._place, choices, strict=True)]
        return None if None in places else tuple(place for place in places if place is not None)

    def architecture(self, row: Sequence[int] | np.ndarray) -> Architecture:
        """The architecture of a row, in canonical form."""
        stages = tuple(forms[place] for forms, place in zip(self.forms, row, strict=True))
        return Architecture(self.space.backbone, stages)

    def params(self, row: np.ndarray) -> dict[str, Any]:
        """The parameters with which a trial proposes the network."""
        params = self.space.params(self.architecture(row))
        assert params is not None, "it is of this space"
        return params

    def one_hot(self, rows: np.ndarray) -> np.ndarray:
        """Indicators of the choices of every row, and a column of ones, (rows, sum of choices + 1)."""
        parts = [np.eye(size)[rows[:, stage]] for stage, size in enumerate(self.sizes)]
        return np.concatenate([*parts, np.ones((len(rows), 1))], 1)


class Costs:
    """Costs of networks before they are built: parameters and MACs exactly, latency as a sum over stages.

    Args:
        networks: The networks of the space.
        reference: Costs of the backbone without attention.
        measured: Relative latency of networks that were built, by row.
    """

    def __init__(
        self, networks: Networks, reference: Mapping[str, float], measured: Mapping[tuple[int, ...], float]
    ) -> None:
        self.networks, self.reference, self.measured = networks, reference, measured

    def of(self, cost: str, rows: np.ndarray) -> np.ndarray:
        """One cost of every row, in its own unit; latency is 1x before anything was measured."""
        reference = self.reference.get(cost, 0.0)
        if cost == "latency":
            return reference * self._latency(rows)
        column = ("parameters", "macs").index(cost)
        stages = enumerate(self.networks.added)
        return reference + sum((added[rows[:, stage], column] for stage, added in stages), np.zeros(len(rows)))

    def feasible(self, bounds: Mapping[str, Constraint], rows: np.ndarray) -> np.ndarray:
        """Tell which rows keep the bounds, as far as that is known."""
        kept = np.ones(len(rows), dtype=bool)
        for cost, bound in bounds.items():
            if self.reference.get(cost):
                kept &= [bound.satisfied(float(one), self.reference[cost]) for one in self.of(cost, rows)]
        return kept

    def _latency(self, rows: np.ndarray) -> np.ndarray:
        if not self.measured:
            return np.ones(len(rows))
        seen = self.networks.one_hot(np.array(list(self.measured)))
        values = np.array(list(self.measured.values()))
        inverse = np.linalg.solve(seen.T @ seen + 0.1 * np.eye(seen.shape[1]), seen.T @ (values - values.mean()))
        return np.asarray(values.mean() + self.networks.one_hot(rows) @ inverse)
