"""Simulated studies whose truth is known: what the pooled model is judged in."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from chattn_nas.results.pooled import Observation, Pooled

#: Networks of a space that are predicted.
MOST_CELLS = 500


@dataclass(frozen=True)
class World:
    """Standard deviations in points.

    Attributes:
        types: Per stage how many; the first is ``none``.
        settings: Of every type.
        main, setting, pair, whole: Of a type, of a setting, of a pair of stages, of the whole architecture.
        noise, block, slope: Of one training, of a seed, of a type on a seed.
        uneven: Types' noises differ by up to this factor either way.
        bounded: Effects are uniform instead of normal.
        trials: Trainings, baselines included.
        seeds: ``repeats``: a network that comes again gets the next seed; a number: every network on so many.
        stopped: Share of the trainings that end at the first rung, the worst there.
        late: The last type is so many points behind at the first rung.
    """

    types: tuple[int, ...] = (6, 6, 6)
    settings: int = 1
    main: float = 0.5
    setting: float = 0.0
    pair: float = 0.0
    whole: float = 0.2
    noise: float = 0.8
    block: float = 0.0
    slope: float = 0.0
    uneven: float = 1.0
    bounded: bool = False
    trials: int = 100
    seeds: int = 0
    stopped: float = 0.0
    late: float = 0.0


WORLDS = {
    "effects add up": World(),
    "little differs": World(main=0.5 / 3**0.5, block=0.3),
    "four stages": World(types=(6, 6, 3, 2)),
    "pairs interact": World(pair=0.2, whole=0.0),
    "bounded effects": World(bounded=True),
    "three seeds each": World(seeds=3, block=0.3),
    "a third stopped early": World(stopped=0.4, block=0.2),
    "type x seed, 40 trainings": World(slope=0.25, trials=40),
    "type x seed, 80 trainings": World(slope=0.25, trials=80),
    "type x seed, 216 trainings": World(slope=0.25, trials=216),
    "type x seed, three seeds": World(slope=0.25, trials=108, seeds=3, block=0.3),
    "pairs as large as types, 40": World(pair=0.5, whole=0.0, trials=40),
    "whole as large as types, 40": World(whole=0.5, trials=40),
    "all in the whole": World(main=0.0, whole=0.5),
    "settings matter more": World(main=0.2, settings=3, setting=0.5),
    "10 trainings": World(trials=10),
    "10 trainings, much differs": World(trials=10, main=1.0, slope=0.25),
    "10 trainings, little differs": World(trials=10, main=0.15, whole=0.1),
    "noise differs by type": World(uneven=2.0),
    "a slow starter, stopped early": World(stopped=0.4, late=2.0, types=(4, 4, 4)),
}


@dataclass(frozen=True)
class Study:
    """Cells (networks, stages, 2: type and setting), their truths, one observation per training, what was complete."""

    cells: np.ndarray
    truth: np.ndarray
    seen: list[Observation]
    trained: np.ndarray


def choices(cell: np.ndarray) -> tuple[tuple[str, str], ...]:
    """A cell as the model sees it."""
    return tuple(("none" if t == 0 else f"type{t}", f"type{t} setting{s}") for t, s in cell)


def draw(world: World, rng: np.random.Generator) -> Study:
    """One study of a world: the uniform networks first, then networks at random."""
    options = [[(t, s) for t in range(n) for s in range(1 if t == 0 else world.settings)] for n in world.types]
    cells = np.array(list(itertools.product(*options)))
    stages = range(len(world.types))

    def effects(size: tuple[int, ...]) -> np.ndarray:
        return rng.uniform(-(3**0.5), 3**0.5, size) if world.bounded else rng.standard_normal(size)

    main = [world.main * effects((n,)) for n in world.types]
    tuned = [world.setting * effects((n, world.settings)) for n in world.types]
    truth = 90 + sum(main[k][cells[:, k, 0]] + tuned[k][cells[:, k, 0], cells[:, k, 1]] for k in stages)
    for a, b in itertools.combinations(stages, 2) if world.pair else ():
        truth = (
            truth + world.pair * rng.standard_normal((world.types[a], world.types[b]))[cells[:, a, 0], cells[:, b, 0]]
        )
    truth = truth + world.whole * rng.standard_normal(len(cells))
    louder = world.noise * world.uneven ** rng.uniform(-1, 1, max(world.types))
    uniform = [
        place for place, cell in enumerate(cells) if len(set(cell[:, 0])) == 1 and not cell[:, 1].any()
    ]  # fmt: skip
    asked = [*uniform, *rng.integers(len(cells), size=world.trials)][: -(-world.trials // max(1, world.seeds))]
    runs = np.repeat(asked, max(1, world.seeds))[: world.trials]
    counts: dict[int, int] = {}
    blocks: dict[int, float] = {}
    slopes: dict[tuple[int, int, int], float] = {}
    rows = []
    for place in runs:
        seed = counts[place] = counts.get(place, -1) + 1
        cell = cells[place]
        end = truth[place] + blocks.setdefault(seed, world.block * rng.standard_normal())
        for stage, (kind, _) in enumerate(cell):
            end += slopes.setdefault((seed, stage, kind), world.slope * rng.standard_normal())
        end += louder[cell[:, 0]].mean() * rng.standard_normal()
        behind = world.late * (cell[:, 0] == world.types[0] - 1).mean()
        rows.append((place, seed, 75 + 0.8 * (end - 90) - behind + 0.8 * rng.standard_normal(), end))
    bar = np.quantile([row[2] for row in rows], world.stopped)
    seen, trained = [], []
    for number, (place, seed, early, end) in enumerate(rows):
        whole = early >= bar or number < len(uniform) or not world.stopped
        views = {"epoch 1": early} if world.stopped else {}
        seen.append(Observation(choices(cells[place]), seed, end if whole else float("nan"), views=views))
        trained += [place] if whole else []
    return Study(cells, truth, seen, np.unique(trained))


def marginal(study: Study, world: World, stage: int) -> np.ndarray:
    """True effect of every type of a stage against ``none`` there, on average over the other stages and settings."""
    means = np.array([study.truth[study.cells[:, stage, 0] == t].mean() for t in range(world.types[stage])])
    return np.asarray(means - means[0])


@dataclass(frozen=True)
class Coverage:
    """Shares of 95 % intervals that hold the truth, and what the pick misses; one study.

    Attributes:
        networks, pairs, effects: Of every network, of 200 pairs, of every type against ``none``.
        rival: Of the pick against the best uniform network.
        claimed, false: The pick was called better than that rival; it was not.
        regret, single: Points that the pick, and that the best single training, lie below the best trained network.
    """

    networks: float
    pairs: float
    effects: float
    rival: float
    claimed: float
    false: float
    regret: float
    single: float


def cover(world: World, rng: np.random.Generator) -> Coverage:
    """Fit one study and compare with the truth."""
    study = draw(world, rng)
    names = sorted({name for one in study.seen for name in one.views})
    model = Pooled(study.seen, names)
    whole = study
    if len(study.cells) > MOST_CELLS:  # of a large space, what was trained and a sample
        kept = np.union1d(study.trained, rng.choice(len(study.cells), MOST_CELLS, replace=False))
        trained = np.searchsorted(kept, study.trained)
        study = replace(study, cells=study.cells[kept], truth=study.truth[kept], trained=trained)
    named = [choices(cell) for cell in study.cells]
    estimate = model.predict(named)
    away = np.abs(estimate.mean - study.truth) <= estimate.half
    a, b = rng.integers(len(study.cells), size=(2, 200))
    apart = model.differences([named[place] for place in a], [named[place] for place in b])
    inside = np.abs(apart.mean - study.truth[a] + study.truth[b]) <= apart.half
    effects = []
    for stage in range(len(world.types)):
        there = {one.choices[stage][0] for one in study.seen}
        known = [t for t in range(world.types[stage]) if ("none" if t == 0 else f"type{t}") in there]
        found = model.effects(stage, ["none" if t == 0 else f"type{t}" for t in known])
        truth = marginal(whole, world, stage)[known]
        effects += list((np.abs(found.mean - truth) <= found.half)[1:])
    pick = study.trained[np.argmax(estimate.mean[study.trained])]
    uniform = [
        place for place in study.trained
        if len(set(study.cells[place, :, 0])) == 1 and study.cells[place, 0, 0] and place != pick
    ] or [place for place in study.trained if place != pick]  # fmt: skip
    rival = max(uniform, key=lambda place: estimate.mean[place])
    margin = model.differences([named[pick]], [named[rival]])
    held = np.abs(margin.mean - study.truth[pick] + study.truth[rival]) <= margin.half
    claimed = margin.low[0] > 0
    single = max((one.accuracy, number) for number, one in enumerate(study.seen) if one.complete)[1]
    place = {one: number for number, one in enumerate(named)}
    best = study.truth[study.trained].max()
    return Coverage(
        float(away.mean()), float(inside[a != b].mean()), float(np.mean(effects)), float(held[0]), float(claimed),
        float(claimed and study.truth[pick] <= study.truth[rival]), float(best - study.truth[pick]),
        float(best - study.truth[place[study.seen[single].choices]]),
    )  # fmt: skip


def coverage(world: World, studies: int, seed: int = 2026) -> dict[str, float]:
    """Means over studies, with the standard error of the first as ``error``."""
    found = [cover(world, np.random.default_rng([seed, number])) for number in range(studies)]
    names = list(Coverage.__dataclass_fields__)
    means = {name: float(np.mean([getattr(one, name) for one in found])) for name in names}
    return means | {"error": float(np.std([one.networks for one in found]) / studies**0.5)}


def shorter(world: World, trials: int) -> World:
    """The same with fewer trainings."""
    return replace(world, trials=trials)
