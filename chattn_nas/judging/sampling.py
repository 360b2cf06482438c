"""A stratified sample of a search space."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import product

from chattn_nas.space import SearchSpace, StageChoice


def stratified(space: SearchSpace, count: int, seed: int) -> list[tuple[StageChoice, ...]]:
    """Draw different networks in which, stage by stage, every type is equally frequent, and so are its settings.

    A Latin hypercube over stages (McKay, Beckman, Conover 1979). Fewer than ``count`` where the space holds fewer.
    """
    rng = random.Random(seed)
    count = min(count, space.canonical_size)
    columns = [_dealt(list(choices), rng) for choices in space.canonical]
    networks: dict[tuple[StageChoice, ...], tuple[StageChoice, ...]] = {}
    tries = 0
    while len(networks) < count and tries < 1000 * count:  # the last networks of a small space are met by listing it
        stages = tuple(next(column) for column in columns)
        networks.setdefault(_form(space, stages), stages)
        tries += 1
    if len(networks) < count:
        for stages in product(*(dict.fromkeys(choices) for choices in space.canonical)):
            networks.setdefault(_form(space, stages), stages)
    return list(networks.values())[:count]


def _form(space: SearchSpace, stages: Sequence[StageChoice]) -> tuple[StageChoice, ...]:
    return tuple(canonical[choice] for canonical, choice in zip(space.canonical, stages, strict=True))


def _dealt(choices: list[StageChoice], rng: random.Random) -> Iterator[StageChoice]:
    """Deal the types in rounds, each once per round in random order; the settings of a type likewise."""
    by_type: dict[str, list[StageChoice]] = {}
    for choice in choices:
        by_type.setdefault(choice.type, []).append(choice)
    decks: dict[str, list[StageChoice]] = {name: [] for name in by_type}
    while True:
        for name in rng.sample(sorted(by_type), len(by_type)):
            decks[name] = decks[name] or rng.sample(by_type[name], len(by_type[name]))
            yield decks[name].pop()
