"""Simulated spaces with a known truth, larger and deeper than any table, with settings and interactions.

A world has the interface of a :class:`.Table`, and its best network is known. Standard deviations are in points, and of
the size seen in the tables.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from chattn_nas.errors import InputError
from chattn_nas.proxy import Measurement, Outcome, Rung
from chattn_nas.space import Architecture
from chattn_nas.spec import Spec
from chattn_nas.study.record import key_of

_TYPES: list[Any] = ["none", "se", "eca", "gct", "srm", "triplet"]
_SETTINGS: list[Any] = [
    "none", {"se": {"reduction": [2, 4, 8, 16]}}, {"eca": {"gamma": [1, 2], "b": [1, 2]}},
    {"fca": {"frequencies": ["top1", "top2", "top4", "low2", "bot2"], "reduction": [4, 8]}},
    {"gct": {"mode": ["l1", "l2"]}},
]  # fmt: skip
_CHAIN = [f"layer{layer}.{block}" for layer in (1, 2, 3) for block in (0, 1, 2)][1:]


@dataclass(frozen=True)
class Kind:
    """A distribution of worlds; standard deviations in points.

    Attributes:
        space: The ``space`` section.
        backbone: The ``backbone`` section.
        type, setting, pair: Of the effect of a type in a stage, of its settings, and of pairs of types in two stages.
        type_seed: Of what one seed does to a type in a stage.
        noise: Of one training.
        rungs: Epochs at which a training is scored.
        early: At every rung but the last: of how far a type in a stage is ahead or behind there, and of a noise of
            its own.
    """

    space: Mapping[str, Any]
    backbone: Mapping[str, Any]
    type: float = 0.3
    setting: float = 0.1
    pair: float = 0.05
    type_seed: float = 0.1
    noise: float = 0.5
    rungs: tuple[int, ...] = (1,)
    early: float = 0.25


_SMALL = {"model": "cifar_resnet8", "options": {"width": 16}}
KINDS = {
    "world_settings": Kind({"all": _SETTINGS}, _SMALL),
    "world_interactions": Kind({"all": _TYPES}, _SMALL, type=0.2, pair=0.25),
    "world_deep": Kind({"all": _TYPES}, {"model": "cifar_resnet20", "stages": _CHAIN}, type=0.2),
    "world_rungs": Kind({"all": _SETTINGS}, _SMALL, rungs=(4, 16)),
    "world_quiet": Kind({"all": _SETTINGS}, _SMALL, type_seed=0.05, noise=0.15),
}


class World:
    """One world.

    Args:
        name: One of :data:`KINDS`.
        number: Draws its effects.

    Attributes:
        seeds: That may be asked for.
        rungs: Epochs at which a training is scored.
        share: Of the space's networks that can be asked for: all.
    """

    share = 1.0

    def __init__(self, name: str, number: int) -> None:
        if name not in KINDS:
            raise InputError(f"there is no world {name!r}", value=name, choices=KINDS)
        self.kind, self.number, self.seeds = KINDS[name], number, (0, 1, 2, 3)
        self.rungs = self.kind.rungs
        self.space = _space(name)
        self.values: dict[str, float] = {}
        rng = np.random.default_rng([number, 1])
        names = [list(dict.fromkeys(form.type for form in forms.values())) for forms in self.space.canonical]
        self._type = [dict(zip(types, rng.normal(0, self.kind.type, len(types)), strict=True)) for types in names]
        self._setting = [
            {key_of(form.to_dict()): rng.normal(0, self.kind.setting) for form in dict.fromkeys(forms.values())}
            for forms in self.space.canonical
        ]
        self._pair = {
            (a, one, b, other): rng.normal(0, self.kind.pair)
            for a, b in combinations(range(len(names)), 2) for one in names[a] for other in names[b]
        }  # fmt: skip

    def holds(self, architecture: Architecture) -> bool:
        """Return ``True``: every network has a value."""
        return True

    def worth(self, architecture: Architecture) -> float:
        """The value of a network over all seeds, in points; cached in :attr:`values`."""
        network = architecture.canonical(self.space.stages)
        types = [choice.type for choice in network.stages]
        value = 60.0 + sum(effects[name] for effects, name in zip(self._type, types, strict=True))
        value += sum(self._setting[s][key_of(choice.to_dict())] for s, choice in enumerate(network.stages))
        value += sum(self._pair[a, types[a], b, types[b]] for a, b in combinations(range(len(types)), 2))
        self.values[network.hash] = value
        return value

    @cached_property
    def best(self) -> float:
        """The highest worth, by changes of one stage from many starts, which finds it if pairs matter little."""
        rng = np.random.default_rng([self.number, 2])
        forms = [list(dict.fromkeys(choices.values())) for choices in self.space.canonical]
        best, known = -np.inf, dict(self.values)
        for _ in range(12):
            stages = [some[rng.integers(len(some))] for some in forms]
            value, before = -np.inf, -np.inf
            while value > before or before == -np.inf:
                before = value
                for stage, some in enumerate(forms):
                    tried = [
                        (self.worth(self._network([*stages[:stage], one, *stages[stage + 1 :]])), one) for one in some
                    ]
                    value, stages[stage] = max(tried, key=lambda pair: pair[0])
            best = max(best, value)
        self.values = known
        return float(best)

    def short(self, key: str) -> float:
        """By how many points a network is worse than the best one."""
        return self.best - self.values[key]

    def above(self, keys: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        """By how many points networks are better than the average one."""
        return np.array([self.values[key] for key in keys]) - self._average

    @cached_property
    def _average(self) -> float:
        draw, known = random.Random(self.number), dict(self.values)
        average = float(np.mean([self.worth(self.space.random(draw)) for _ in range(300)]))
        self.values = known
        return average

    def _network(self, stages: list[Any]) -> Architecture:
        return Architecture(self.space.backbone, tuple(stages))

    def measurement(self, architecture: Architecture, seed: int) -> Measurement:
        """The result of training a network on a seed, the same in every call."""
        network = architecture.canonical(self.space.stages)
        value = self.worth(network)
        for stage, choice in enumerate(network.stages):
            value += self._drawn(seed, stage, choice.type) * self.kind.type_seed
        value += self._drawn(seed, network.hash) * self.kind.noise
        types = [choice.type for choice in network.stages]
        scores = [*(self._at(epoch, types, network.hash, seed, value) for epoch in self.rungs[:-1]), value]
        rungs = [
            Rung(epoch=epoch, score=score / 100, loss=float("nan"))
            for epoch, score in zip(self.rungs, scores, strict=True)
        ]
        return Measurement(outcome=Outcome.COMPLETE, rungs=tuple(rungs), seed=seed)

    def _at(self, epoch: int, types: Sequence[str], key: str, seed: int, end: float) -> float:
        """The score at an early rung, where differences are smaller and types deviate in their own ways."""
        ahead = sum(self._drawn("ahead", epoch, stage, name) for stage, name in enumerate(types))
        return 50 + 0.8 * (end - 60) + self.kind.early * (ahead + self._drawn("rung", epoch, key, seed))

    @cached_property
    def crowd(self) -> dict[str, Architecture]:
        """The networks on which rankings are judged, by hash: 200 of the space."""
        draw = random.Random(self.number + 1)
        drawn = [self.space.random(draw).canonical(self.space.stages) for _ in range(200)]
        for one in drawn:
            self.worth(one)
        return {one.hash: one for one in drawn}

    def _drawn(self, *key: Any) -> float:
        words = "|".join(map(str, (self.number, *key))).encode()
        return float(np.random.default_rng(list(words)).normal())


def _space(name: str) -> Any:
    kind = KINDS[name]
    spec = {
        "name": name, "backbone": kind.backbone, "space": kind.space,
        "data": {"dataset": "digits", "image_size": 32}, "proxy": {"device": "cpu"},
    }  # fmt: skip
    return Spec.from_dict(spec).search_space()
