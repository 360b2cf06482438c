"""The pooled model in worlds that its prior was not tuned on, beside one that knows the true standard deviations."""

import itertools

import numpy as np
import pytest

from chattn_nas.results.early_rungs import early_rungs
from chattn_nas.results.pooled import Observation, Pooled

STUDIES, TRIALS = 100, 100
WORLDS = {
    "per stage": {},
    "in total": {"main": 0.5 / np.sqrt(3), "block": 0.3},
    "four stages": {"types": (6, 6, 3, 2)},
    "against none, pairs interact": {"reference": True, "pairs": True},
    "bounded effects": {"uniform": True},
    "three seeds each": {"seeds": 3, "block": 0.3},
    "stopped early": {"stopped": 0.4, "block": 0.2},
}


def simulate(rng, *, types=(6, 6, 6), main=0.5, interaction=0.2, noise=0.8, block=0.0, seeds=1, stopped=0.0,
             reference=False, pairs=False, uniform=False):  # fmt: skip
    """Cells, their true accuracies in points, and one study of them: (cell, seed, rungs) each."""
    cells = np.array(list(itertools.product(*map(range, types))))
    draw = (lambda size: rng.uniform(-np.sqrt(3), np.sqrt(3), size)) if uniform else rng.standard_normal
    effects = [main * draw(count) for count in types]
    truth = 90 + sum((one - one[0] * reference)[cells[:, stage]] for stage, one in enumerate(effects))
    if pairs:
        couples = list(itertools.combinations(range(len(types)), 2))
        tables = [rng.standard_normal((types[a], types[b]))[cells[:, a], cells[:, b]] for a, b in couples]
        truth = truth + interaction * sum(tables) / np.sqrt(len(couples))
    else:
        truth = truth + interaction * rng.standard_normal(len(cells))
    blocks = block * rng.standard_normal(TRIALS)
    seen: dict[int, int] = {}
    runs = []
    for cell in np.repeat(rng.integers(len(cells), size=TRIALS), seeds)[:TRIALS]:
        seed = seen[cell] = seen.get(cell, -1) + 1
        final = truth[cell] + blocks[seed] + noise * rng.standard_normal()
        runs.append((cell, seed, [75 + 0.8 * (final - 90) + 0.8 * rng.standard_normal(), final]))
    bar = np.quantile([curve[0] for _, _, curve in runs], stopped)
    return cells, truth, [(cell, seed, curve if curve[0] >= bar else curve[:1]) for cell, seed, curve in runs]


def as_choices(cell):
    return tuple((f"type{index}", f"type{index}") for index in cell)


def observed(cells, runs):
    reading = early_rungs([curve for _, _, curve in runs], 2)[0]
    found = []
    for cell, seed, curve in runs:
        if len(curve) == 2:
            found.append(Observation(as_choices(cells[cell]), seed, curve[-1]))
        elif reading is not None:
            found.append(
                Observation(as_choices(cells[cell]), seed, reading.offset + reading.scale * curve[0], reading.variance)
            )
    return found


def knowing(cells, runs, seen, *, main=0.5, interaction=0.2, noise=0.8, block=0.0, **_):
    """Posterior means of a model that was told how large everything is."""
    index, seed = np.array([cell for cell, _, _ in runs]), np.array([seed for _, seed, _ in runs])
    kernel = 1e4 + main**2 * (cells[:, None] == cells[None]).sum(-1) + interaction**2 * np.eye(len(cells))
    covariance = kernel[np.ix_(index, index)] + block**2 * (seed[:, None] == seed)
    covariance += np.diag(noise**2 + np.array([one.variance for one in seen]))
    return kernel[:, index] @ np.linalg.solve(covariance, np.array([one.accuracy for one in seen]) - 90)


@pytest.mark.parametrize("name", WORLDS)
def test_intervals_cover_and_the_pick_is_nearly_that_of_one_who_knows(name, capsys):
    world = WORLDS[name]
    covered, regrets = [], []
    for number in range(STUDIES):
        cells, truth, runs = simulate(np.random.default_rng([2026, number]), **world)
        seen = observed(cells, runs)
        estimate = Pooled(seen).predict([as_choices(cell) for cell in cells])
        covered.append(np.mean(np.abs(estimate.mean - truth) <= 1.96 * estimate.sd))
        trained = np.unique([cell for cell, _, curve in runs if len(curve) == 2])
        single = max((curve[1], cell) for cell, _, curve in runs if len(curve) == 2)[1]
        means = (estimate.mean, knowing(cells, runs, seen, **world))
        picks = [*(trained[np.argmax(mean[trained])] for mean in means), single]
        regrets.append(truth[trained].max() - truth[picks])
    pooled, known, single = np.mean(regrets, axis=0)
    said = f"regret {pooled:.2f} ({known:.2f} knowing), single {single:.2f}"
    with capsys.disabled():
        print(f"\n  {name}: {np.mean(covered):.1%} covered; {said}")
    error = np.std(covered) / np.sqrt(STUDIES)
    assert 0.92 - error <= np.mean(covered) <= 0.98 + error
    assert pooled <= known + 0.05
    if "main" not in world:  # so little differs there that one who knows hardly halves the regret
        assert pooled <= single / 2
