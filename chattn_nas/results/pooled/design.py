"""The design matrix of the pooled model: one column per type, setting, pair, seed, and type on a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy import sparse

#: One network: per stage the type and the full choice.
Choices = tuple[tuple[str, str], ...]
#: The key of a column: its term, then what distinguishes it within the term.
Key = tuple[object, ...]
#: A prediction for a network from elsewhere, such as shared weights, in its own standard deviations.
Foretold = Callable[[Choices], float]

#: Terms of the network itself, over seeds.
NETWORK = ("type", "setting", "pair", "foretold")
#: Terms of one training: its seed, and what its seed did to a type in a stage.
TRAINING = ("seed", "type_seed")
#: How a type in a stage departs in another view (a rung, a loss) from what it does to the accuracy.
VIEW = "view"
#: More pairs than this, or seeds with a slope of their own, cost more time than they explain.
MOST_PAIRS, MOST_SEEDS = 400, 12


def network_row(choices: Choices, *, pairs: bool, foretold: Foretold | None = None) -> dict[Key, float]:
    """The nonzero columns of a network."""
    row: dict[Key, float] = {}
    for stage, (name, setting) in enumerate(choices):
        row["type", stage, name] = 1.0
        row["setting", stage, setting] = 1.0
    if pairs:
        for (a, one), (b, other) in combinations(enumerate(choices), 2):
            row["pair", a, one[0], b, other[0]] = 1.0
    if foretold is not None:
        row["foretold",] = foretold(choices)
    return row


def effect_row(
    choices: Iterable[tuple[str, str]], stage: int, others: Mapping[int, Sequence[str]], *, pairs: bool
) -> dict[Key, float]:
    """The effect of a type in ``stage``, as a mean over its settings ``choices`` and the types of the other stages."""
    known = list(choices)
    row: dict[Key, float] = {("type", stage, known[0][0]): 1.0}
    for _, setting in known:
        row["setting", stage, setting] = 1.0 / len(known)
    if pairs:
        for other, names in others.items():
            for name in names:
                key: Key = ("pair", stage, known[0][0], other, name) if stage < other \
                    else ("pair", other, name, stage, known[0][0])  # fmt: skip
                row[key] = 1.0 / len(names)
    return row


class Design:
    """The columns of a study.

    Args:
        choices: The network of each training.
        seeds: The seed of each training.
        views: Number of readings that a training may have; reading 0 is the final accuracy.
        foretold: A prediction of every network, which gets a column with its slope as the coefficient; or ``None``.

    Attributes:
        index: Column by key.
        pairs: Whether pairs of stages have columns.
        matrices: Per view (trainings, columns); 1 where the column belongs to that reading of that training, and what
            is foretold.
    """

    def __init__(
        self, choices: Sequence[Choices], seeds: Sequence[int], views: int, foretold: Foretold | None = None
    ) -> None:
        counted = Counter(seeds)
        sloped = {seed for seed, count in counted.most_common(MOST_SEEDS) if count > 1}
        stages = range(len(choices[0]))
        number = sum(len({(one[a][0], one[b][0]) for one in choices}) for a, b in combinations(stages, 2))
        self.pairs = 0 < number <= MOST_PAIRS
        self.index: dict[Key, int] = {}
        entries: list[list[tuple[float, int, int]]] = [[] for _ in range(views)]
        for row, (one, seed) in enumerate(zip(choices, seeds, strict=True)):
            shared = network_row(one, pairs=self.pairs, foretold=foretold)
            if seed in sloped:
                shared |= {("type_seed", seed, stage, name): 1.0 for stage, (name, _) in enumerate(one)}
            for view in range(views):
                keys: list[Key] = [("mean", view), *shared]
                if counted[seed] > 1:
                    keys.append(("seed", view, seed))
                if view:
                    keys += [(VIEW, view, stage, name) for stage, (name, _) in enumerate(one)]
                entries[view] += [
                    (shared.get(key, 1.0), row, self.index.setdefault(key, len(self.index))) for key in keys
                ]
        shape = len(choices), len(self.index)
        self.matrices = [
            sparse.csr_array((weights, (rows, columns)), shape=shape)
            for weights, rows, columns in (zip(*of_view, strict=True) for of_view in entries)
        ]

    @property
    def terms(self) -> list[str]:
        """The terms with columns, in the order of their standard deviations; the means are not a term."""
        there = {str(key[0]) for key in self.index}
        return [term for term in (*NETWORK, *TRAINING, VIEW) if term in there]

    def kinds(self) -> np.ndarray:
        """The index of each column's term, -1 for means; (columns,)."""
        place = {term: index for index, term in enumerate(self.terms)}
        return np.array([place.get(str(key[0]), -1) for key in self.index])

    def rows(self, combinations: Sequence[Mapping[Key, float]]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """``combinations`` over the known columns and over new columns, and the terms of the new ones."""
        new: dict[Key, int] = {}
        known = np.zeros((len(combinations), len(self.index)))
        for number, row in enumerate(combinations):
            for key, weight in row.items():
                column = self.index.get(key)
                if column is None:
                    new.setdefault(key, len(new))
                else:
                    known[number, column] = weight
        novel = np.zeros((len(combinations), len(new)))
        if new:
            for number, row in enumerate(combinations):
                for key, weight in row.items():
                    if key in new:
                        novel[number, new[key]] = weight
        return known, novel, [str(key[0]) for key in new]
