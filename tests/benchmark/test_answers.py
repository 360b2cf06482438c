"""A world whose truth is known: what the answers must find, and what they must not."""

import json

import numpy as np
import pandas as pd
import pytest

from chattn_nas.benchmark.answers import (
    Interval,
    LongTable,
    Regime,
    foretelling,
    interactions,
    mixing,
    stage_effects,
    uniform_effects,
)  # fmt: skip
from chattn_nas.benchmark.answers_text import answers_markdown
from chattn_nas.benchmark.design import orthogonal_triples

TYPES = ["none", "se", "eca", "srm", "gct"]
WORTH = {"none": 0.0, "se": 0.5, "eca": 0.2, "srm": -0.5, "gct": 1.0}


def world(*, noise: float, by_seed: float = 0.0, interaction: float = 0.0, seeds: int = 4, seed: int = 0) -> LongTable:
    """Effects that add up over three stages, luck of type x seed, interactions and noise, in points."""
    rng = np.random.default_rng(seed)
    rows = []
    luck = {(s, stage, name): rng.normal(0, by_seed) for s in range(seeds) for stage in range(3) for name in TYPES}
    triples = [*orthogonal_triples(TYPES), ("channel_scale",) * 3]
    extra = {triple: rng.normal(0, interaction) for triple in triples}
    for s in range(seeds):
        for triple in triples:
            own = sum(WORTH.get(name, 0) + luck.get((s, stage, name), 0) for stage, name in enumerate(triple))
            for epochs, loudness in ((3, 3.0), (20, 1.0)):
                test, validation = 70 + own + extra[triple] + s + rng.normal(0, noise * loudness, 2)
                rows.append({
                    "hash": "|".join(triple), "seed": s, "stages": json.dumps([{"type": name} for name in triple]),
                    "start": "unit", "branches": 1.0, "epochs": epochs, "outcome": "complete",
                    "accuracy": validation / 100, "test_accuracy": test / 100, "loss": -validation,
                    "train_loss_sum": -validation, "parameters": 100 + 10 * (triple != ("none",) * 3), "macs": 100,
                })  # fmt: skip
    return LongTable(pd.DataFrame(rows))


def test_without_noise_the_truth_is_found() -> None:
    table = world(noise=1e-6)
    assert len(table.networks) == 25
    assert len(table.controls) == 1
    effects = {(one.stage, one.type): one.gain.mean for one in stage_effects(table)}
    assert effects[1, "gct"] == pytest.approx(1.0, abs=1e-4)
    assert effects[3, "srm"] == pytest.approx(-0.5, abs=1e-4)
    uniform = {one.type: one for one in uniform_effects(table)}
    assert uniform["gct"].gain.mean == pytest.approx(3.0, abs=1e-4)
    assert uniform["gct"].parameters == pytest.approx(0.1)
    assert uniform["channel_scale"].gain.mean == pytest.approx(0.0, abs=1e-4)
    assert interactions(table).deviation < 1e-3
    assert all(one.tau.mean > 0.9 for one in foretelling(table))


def test_the_best_of_the_table_is_lucky_where_nothing_is_to_gain() -> None:
    """The margin of the best mixed network, judged where it was chosen, is noise; on an unseen seed it is about 0."""
    found = [mixing(LongTable(_flat(seed))) for seed in range(40)]
    assert np.mean([one.lucky for one in found]) > 0.1
    assert abs(np.mean([one.margin.mean for one in found])) < 0.15


def _flat(seed: int) -> pd.DataFrame:
    """No effect at all."""
    rows = world(noise=0.5, seed=seed).rows.copy()
    rng = np.random.default_rng(seed)
    for column in ("accuracy", "test_accuracy"):
        rows[column] = 0.7 + rng.normal(0, 0.005, len(rows))
    return rows


def test_intervals_count_type_by_seed() -> None:
    """With luck by type and seed the interval of an effect covers the truth as often as it says."""
    covered = [
        one.gain.low <= WORTH[one.type] <= one.gain.high
        for seed in range(40)
        for one in stage_effects(world(noise=0.3, by_seed=0.4, seed=seed))
    ]
    assert 0.91 < np.mean(covered) < 0.98


def test_interactions_are_found_where_there_are_some_and_not_where_there_are_none() -> None:
    assert interactions(world(noise=0.3, interaction=0.6, seed=1)).p < 1e-6
    ps = [interactions(world(noise=0.3, by_seed=0.3, seed=seed)).p for seed in range(40)]
    assert np.mean(np.array(ps) < 0.05) < 0.15
    found = [interactions(world(noise=0.3, by_seed=0.3, interaction=0.5, seed=seed)) for seed in range(20)]
    assert np.mean([one.noise for one in found]) == pytest.approx(0.3, rel=0.1)
    assert np.mean([one.deviation for one in found]) == pytest.approx(0.5, rel=0.15)
    assert np.mean([one.type_by_seed for one in found]) == pytest.approx(0.3, rel=0.25)


def test_a_short_training_with_more_noise_foretells_less() -> None:
    taus = {(one.regime.epochs, one.reading): one.tau.mean for one in foretelling(world(noise=0.6))}
    assert taus[3, "accuracy"] < taus[20, "accuracy"]


def test_fewer_images_and_narrower_networks_foretell_and_count_nowhere_else() -> None:
    alone = world(noise=0.5)
    rows = alone.rows.assign(images=40_000, width=16)
    fewer = rows[rows["epochs"] == 20].assign(images=2_500)
    narrow = rows[rows["epochs"] == 3].assign(
        width=8, macs=25, accuracy=-rows["accuracy"], hash=rows["hash"] + " of half the width"
    )
    table = LongTable(pd.concat([rows, fewer, narrow], ignore_index=True))
    assert (table.long, table.networks, table.seeds) == (Regime(20, 40_000, 16), alone.networks, alone.seeds)
    assert stage_effects(table) == stage_effects(alone)
    costs = {
        Regime(3, 40_000, 8): 0.15 / 4,
        Regime(20, 2_500, 16): 1 / 16,
        Regime(3, 40_000, 16): 0.15,
        table.long: 1.0,
    }
    assert table.costs == pytest.approx(costs)
    taus = {(one.regime, one.reading): one.tau.mean for one in foretelling(table)}
    assert taus[Regime(20, 2_500, 16), "accuracy"] == taus[table.long, "accuracy"]
    assert taus[Regime(3, 40_000, 8), "accuracy"] == pytest.approx(-taus[Regime(3, 40_000, 16), "accuracy"])
    assert taus[Regime(3, 40_000, 8), "loss"] == taus[Regime(3, 40_000, 16), "loss"]
    said = answers_markdown(table)
    assert "| 3 epochs, width 8 | 0.04 | validation accuracy |" in said
    assert "| 20 epochs, 2,500 images | 0.06 | validation accuracy |" in said


def test_one_seed_gives_no_interval() -> None:
    assert np.isnan(Interval.over([1.0]).low)
