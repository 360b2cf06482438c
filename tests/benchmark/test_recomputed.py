"""What the tool says of the shipped tables, computed once more by other means: long formats, dummies, scipy's tests."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from chattn_nas.benchmark import facts, load
from chattn_nas.benchmark.answers import LongTable, interactions, mixing, stage_effects, uniform_effects
from chattn_nas.benchmark.lookup import read_table


def dummies(*columns: pd.Series) -> np.ndarray:
    """One column per combination of values."""
    joined = columns[0].astype(str)
    for column in columns[1:]:
        joined = joined + " x " + column.astype(str)
    return pd.get_dummies(joined).to_numpy(float)


def left(y: np.ndarray, *blocks: np.ndarray) -> tuple[float, int]:
    """Sum of squares that a least-squares fit leaves, and its degrees of freedom."""
    design = np.column_stack(blocks)
    fitted, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    return float(((y - design @ fitted) ** 2).sum()), len(y) - int(rank)


def test_facts_of_the_short_table():
    table = load("cifar_resnet8_16px")
    found, rows = facts(table), table.rows
    for column, saved in (("accuracy", found.saved), ("test_accuracy", found.saved_test)):
        y = 100 * rows[column].to_numpy()
        squares, freedom = left(y, dummies(rows["hash"]), dummies(rows["seed"]))
        alone = np.sqrt(100**2 * rows.groupby("hash")[column].var(ddof=1).mean())
        assert saved == pytest.approx(1 - np.sqrt(squares / freedom) / alone)
        if column == "accuracy":
            assert found.noise == pytest.approx(np.sqrt(squares / freedom))
    ends = rows.pivot(index="hash", columns="seed", values="accuracy")
    taus = [stats.kendalltau(ends[a], ends[b]).statistic for a, b in itertools.combinations(ends, 2)]
    assert found.ceiling == pytest.approx(np.mean(taus))
    early = rows.pivot(index="hash", columns="seed", values="epoch1")
    across = [stats.kendalltau(early[a], ends[b]).statistic for a, b in itertools.permutations(ends, 2)]
    assert found.rung_taus_across[1] == pytest.approx(np.mean(across))
    tests = rows.pivot(index="hash", columns="seed", values="test_accuracy")
    uniform = [key for key in ends.index if len(set(table.networks[key].stages)) == 1]
    mixed = ends.index.difference(uniform)
    margins = []
    for seed in ends:
        others = ends.drop(columns=seed).mean(axis=1)
        margins.append(100 * (tests.loc[others[mixed].idxmax(), seed] - tests.loc[others[uniform].idxmax(), seed]))
    interval = stats.ttest_1samp(margins, 0).confidence_interval(0.95)
    assert (found.margin, found.margin_low, found.margin_high) == pytest.approx((np.mean(margins), *interval))


@pytest.mark.parametrize("name", ["cifar_resnet8_16px_20ep"])
def test_answers_of_the_long_table(name):
    rows = read_table(name)
    table = LongTable(rows[rows["plan"].isin(["table", "lengths", "photos"])])
    ends = table.rows[(table.rows["epochs"] == table.long) & table.rows["seed"].isin(table.seeds)]
    tests = 100 * ends.pivot(index="hash", columns="seed", values="test_accuracy")
    bare = tests.loc[table.uniform("none")]
    for effect in uniform_effects(table):
        wanted = stats.ttest_rel(tests.loc[table.uniform(effect.type)], bare)
        interval = wanted.confidence_interval(0.95)
        assert effect.gain.p == pytest.approx(wanted.pvalue)
        assert (effect.gain.low, effect.gain.high) == pytest.approx((interval.low, interval.high))
    own = ends[ends["hash"].isin(table.networks)].reset_index(drop=True)
    y = 100 * own["test_accuracy"].to_numpy()
    stages = [own["hash"].map(lambda key, at=at: table.types[key][at]) for at in range(3)]
    seed, network = dummies(own["seed"]), dummies(own["hash"])
    by_seed = [dummies(stage, own["seed"]) for stage in stages]
    main = [dummies(stage) for stage in stages]
    noise, noise_df = left(y, network, *by_seed)
    apart, apart_df = left(y, seed, *main, *by_seed)
    found = interactions(table)
    f = ((apart - noise) / (apart_df - noise_df)) / (noise / noise_df)
    assert found.df == (apart_df - noise_df, noise_df)
    assert (found.f, found.noise) == pytest.approx((f, np.sqrt(noise / noise_df)))
    assert found.p == pytest.approx(stats.f.sf(f, *found.df))
    together, together_df = left(y, network, seed)
    ms_by_seed = (together - noise) / (together_df - noise_df)
    assert found.type_by_seed == pytest.approx(np.sqrt(max(0, ms_by_seed - noise / noise_df) / 8))
    for effect in stage_effects(table):
        one = []
        for number in table.seeds:
            here = own["seed"] == number
            kinds = [pd.get_dummies(stage[here]).drop(columns="none") for stage in stages]
            design = np.column_stack([np.ones(here.sum()), *(kind.to_numpy(float) for kind in kinds)])
            place = 1 + sum(kind.shape[1] for kind in kinds[: effect.stage - 1])
            place += list(kinds[effect.stage - 1]).index(effect.type)
            one.append(np.linalg.lstsq(design, y[here], rcond=None)[0][place])
        assert effect.gain.mean == pytest.approx(np.mean(one))
        assert effect.gain.p == pytest.approx(stats.ttest_1samp(one, 0).pvalue)
    assert mixing(table).margin.seeds == len(table.seeds)
