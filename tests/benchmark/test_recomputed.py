"""What the tool says of the shipped tables, computed once more by other means: long formats, dummies, scipy's tests."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from chattn_nas.benchmark import facts, load
from chattn_nas.benchmark.answers import LongTable, interactions, mixing, stage_effects, uniform_effects
from chattn_nas.benchmark.lookup import TABLES, read_table, table_names
from chattn_nas.cli import app


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


def folds(values, seeds: int) -> tuple[float, float]:
    """95 % interval of what each of several seeds gives together with the others (Nadeau, Bengio 2003, section 3)."""
    error = np.sqrt((1 / len(values) + 1 / (seeds - 1)) * np.var(values, ddof=1))
    return stats.t.interval(0.95, len(values) - 1, np.mean(values), error)


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
    limits = folds(margins, 3)
    assert (found.margin, found.margin_low, found.margin_high) == pytest.approx((np.mean(margins), *limits))


@pytest.mark.parametrize(
    "name", ["cifar_resnet8_16px_20ep", "cifar_resnet20_32px_30ep", "imagenette_resnet18_64px_20ep"]
)
def test_answers_of_the_long_table(name):
    rows = read_table(name)
    table = LongTable(rows)
    ends = table.rows[(table.regimes == table.long) & table.rows["seed"].isin(table.seeds)]
    tests = 100 * ends.pivot(index="hash", columns="seed", values="test_accuracy")
    bare = tests.loc[table.uniform("none")]
    for effect in uniform_effects(table):
        wanted = stats.ttest_rel(tests.loc[table.uniform(effect.type)], bare)
        interval = wanted.confidence_interval(0.95)
        assert effect.gain.p == pytest.approx(wanted.pvalue)
        assert (effect.gain.low, effect.gain.high) == pytest.approx((interval.low, interval.high))
    own = ends[ends["hash"].isin(table.crossed)].reset_index(drop=True)
    y = 100 * own["test_accuracy"].to_numpy()
    stages = [
        own["hash"].map(lambda key, at=at: table.types[key][at]) for at in range(len(table.types[table.crossed[0]]))
    ]
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
    per_level = own["hash"].nunique() / stages[0].nunique()
    assert found.type_by_seed == pytest.approx(np.sqrt(max(0, ms_by_seed - noise / noise_df) / per_level))
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


def printed(name: str) -> tuple[list[str], pd.DataFrame]:
    """What ``chattn-nas table NAME`` prints, and the rows of the CSV that it is about."""
    done = CliRunner().invoke(app, ["table", name])
    assert done.exit_code == 0, done.output
    rows = pd.read_csv(TABLES / f"{name}.csv.xz")
    rows = rows[rows["plan"].isin(["table", "lengths", "fewer", "narrow", "picked"]) & (rows["start"] == "unit")]
    rows = rows[(rows["branches"] == 1) & (rows["outcome"] == "complete")].reset_index(drop=True)
    types = rows["stages"].map(lambda text: tuple(choice["type"] for choice in json.loads(text)))
    rows["name"] = types.map(" | ".join)
    rows["same"] = types.map(lambda one: one[0] if len(set(one)) == 1 else "")
    rows["control"] = types.map(lambda one: bool({"random_gate", "channel_scale"} & set(one)))
    return done.stdout.splitlines(), rows


def interval(values) -> tuple[str, float]:
    """Mean and 95 % interval over seeds in the tool's words, and the p-value, by scipy's t test."""
    found = stats.ttest_1samp(values, 0)
    ends = found.confidence_interval(0.95)
    return f"{np.mean(values):+.2f} [{ends.low:+.2f}, {ends.high:+.2f}]", found.pvalue


def holm(ps: list[float]) -> list[float]:
    """Every p-value times the number of those that are no smaller, and never below one that is smaller."""
    return [min(1.0, max(p * sum(q >= p for q in ps) for p in ps if p <= one)) for one in ps]


@pytest.mark.parametrize(
    ("name", "long", "seeds", "networks"),
    [
        ("cifar_resnet8_16px_20ep", 20, 4, "64 networks and 2 controls"),
        ("cifar_resnet20_32px_30ep", 30, 3, "32 networks and 2 controls"),
        ("imagenette_resnet18_64px_20ep", 20, 5, "28 networks and 2 controls"),
    ],
)
def test_every_printed_number_of_a_long_table_follows_from_its_csv(name, long, seeds, networks):
    lines, rows = printed(name)
    ends = rows[rows["plan"] == "table"]
    assert (ends["epochs"] == long).all()
    assert not ends.duplicated(["hash", "seed"]).any(), "a mean over repeats would hide them"
    assert ends["seed"].nunique() == seeds
    assert ends.loc[~ends["control"], "hash"].nunique() == int(networks.split()[0])
    assert lines[0].startswith(f"{networks}, {long} epochs, {seeds} seeds.")
    tests = 100 * ends.pivot(index="name", columns="seed", values="test_accuracy")
    costs = ends.drop_duplicates("name").set_index("name")

    # the same attention everywhere
    names = ends.loc[ends["same"] != "", ["same", "name"]].drop_duplicates().set_index("same")["name"]
    bare = names["none"]
    gains = {kind: interval(tests.loc[key] - tests.loc[bare]) for kind, key in names.items() if kind != "none"}
    corrected = dict(zip(gains, holm([p for _, p in gains.values()]), strict=True))
    wanted = {
        f"| {kind} | {text} | {p:.3f} | {corrected[kind]:.2f} | "
        f"{100 * (costs['parameters'][names[kind]] / costs['parameters'][bare] - 1):+.1f} % | "
        f"{100 * (costs['macs'][names[kind]] / costs['macs'][bare] - 1):+.2f} % |"
        for kind, (text, p) in gains.items()
    }
    start = lines.index("### The same attention in every stage, against none") + 4
    assert set(lines[start : start + len(wanted)]) == wanted

    # what something else put first
    first = rows[rows["plan"] == "picked"].pivot(index="name", columns="seed", values="test_accuracy")
    gains = {name: interval(100 * row - tests.loc[bare]) for name, row in first.iterrows()}
    corrected = dict(zip(gains, holm([p for _, p in gains.values()]), strict=True))
    wanted = {f"| {name} | {text} | {corrected[name]:.2f} |" for name, (text, _) in gains.items()}
    assert wanted <= set(lines)
    assert ("| network | gain over none | p (Holm) |" in lines) == bool(wanted)
    if wanted:
        said = next(line for line in lines if line.startswith("The mean of"))
        mean, design = 100 * first.mean(), ends[~ends["control"]].groupby("seed")["test_accuracy"].mean() * 100
        assert f"The mean of {len(first)} picked networks over none: **{interval(mean - tests.loc[bare])[0]}**" in said
        assert said.endswith(f"networks above: **{interval(mean - design)[0]}**.")

    # which short training foretells the long one
    own = rows[~rows["control"] & (rows["plan"] != "picked")]
    truth = 100 * ends[~ends["control"]].pivot(index="name", columns="seed", values="test_accuracy")
    wanted = set()
    work = own["epochs"] * own["images"] * own["macs"]
    longest = work[own["plan"] == "table"].median()
    for (plan, epochs), short in own.groupby(["plan", "epochs"]):
        kind = "1 epoch" if epochs == 1 else f"{epochs} epochs"
        kind += {"fewer": ", 2,500 images", "narrow": ", width 8"}.get(plan, "")
        for reading, words, sign in (("accuracy", "validation accuracy", 1), ("loss", "validation loss", -1),
                                     ("train_loss_sum", "sum of training losses", -1)):  # fmt: skip
            taus = []
            for seed, mine in short.groupby("seed"):
                read = sign * mine.set_index("name")[reading]
                others = truth.drop(columns=seed).mean(axis=1)[read.index].round(9)  # equal means differ by rounding
                taus.append(stats.kendalltau(read, others).statistic)
            told = f"{np.mean(taus):.2f}"
            if len(taus) > 2:
                limits = folds(taus, truth.shape[1])
                told += f" [{limits[0]:.2f}, {limits[1]:.2f}]"
            wanted.add(f"| {kind} | {work[short.index].median() / longest:.2f} | {words} | {told} | {len(taus)} |")
    start = lines.index("| training | cost | read by | tau | seeds |") + 2
    assert set(filter(None, lines[start:])) == wanted


@pytest.mark.parametrize(
    ("name", "long", "seeds", "types", "places"),
    [
        ("cifar_resnet8_16px_20ep", 20, 4, 8, 3),
        ("cifar_resnet20_32px_30ep", 30, 3, 4, 3),
        ("imagenette_resnet18_64px_20ep", 20, 5, 5, 4),
    ],
)
def test_the_printed_stages_mixing_and_interactions_follow_from_the_csv(name, long, seeds, types, places):
    lines, rows = printed(name)
    own = rows[(rows["plan"] == "table") & ~rows["control"]].reset_index(drop=True)
    assert (own["epochs"] == long).all()
    crossed = {kind for one in own.loc[own["same"] == "", "name"] for kind in one.split(" | ")}
    assert len(crossed) == types
    own = own[own["name"].map(lambda one: crossed.issuperset(one.split(" | ")))].reset_index(drop=True)
    stages = [own["name"].str.split(" | ", regex=False).str[at] for at in range(places)]
    y = 100 * own["test_accuracy"].to_numpy()
    found: dict[tuple[str, int], list[float]] = {}
    for seed in sorted(own["seed"].unique()):
        here = (own["seed"] == seed).to_numpy()
        kinds = [pd.get_dummies(stage[here]).drop(columns="none") for stage in stages]
        design = np.column_stack([np.ones(here.sum()), *(kind.to_numpy(float) for kind in kinds)])
        effects = iter(np.linalg.solve(design.T @ design, design.T @ y[here])[1:])
        for at, kind in enumerate(kinds, 1):
            for name in kind:
                found.setdefault((name, at), []).append(next(effects))
    told = {key: interval(values) for key, values in found.items()}
    corrected = dict(zip(told, holm([p for _, p in told.values()]), strict=True))
    wanted = {
        f"| {name} | " + " | ".join(told[name, at][0] for at in range(1, places + 1))
        + f" | {min(corrected[name, at] for at in range(1, places + 1)):.2f} |"
        for name in {name for name, _ in told}
    }  # fmt: skip
    heads = " | ".join(f"stage {at}" for at in range(1, places + 1))
    start = lines.index(f"| type | {heads} | smallest p (Holm) |") + 2
    assert set(lines[start : start + len(wanted)]) == wanted

    validation = own.pivot(index="name", columns="seed", values="accuracy")
    tests = 100 * own.pivot(index="name", columns="seed", values="test_accuracy")
    uniform = [name for name in tests.index if len(set(name.split(" | "))) == 1]
    margins = []
    for seed in validation:
        others = validation.drop(columns=seed).mean(axis=1)
        ends = []
        for some in (others.drop(index=uniform), others[uniform]):
            first = some[some > some.max() - 1e-12].index  # several that tie
            ends.append(tests.loc[first, seed].mean())
        margins.append(ends[0] - ends[1])
    means = tests.mean(axis=1)
    lucky = means.drop(index=uniform).max() - means[uniform].max()
    said = next(line for line in lines if line.startswith("The best mixed over the best uniform"))
    low, high = folds(margins, seeds)
    assert f"**{np.mean(margins):+.2f} [{low:+.2f}, {high:+.2f}]** points" in said
    assert f"would claim {lucky:+.2f}." in said

    network, seed = dummies(own["hash"]), dummies(own["seed"])
    main, by_seed = [dummies(one) for one in stages], [dummies(one, own["seed"]) for one in stages]
    noise, noise_df = left(y, network, *by_seed)
    apart, apart_df = left(y, seed, *main, *by_seed)
    together, together_df = left(y, network, seed)
    bare, bare_df = left(y, seed)
    ms = noise / noise_df
    ms_left = (apart - noise) / (apart_df - noise_df)
    ms_seed = (together - noise) / (together_df - noise_df)
    additive, additive_df = left(y, seed, *main)
    ms_main = (bare - additive) / (bare_df - additive_df)
    said = next(line for line in lines if line.startswith("What main effects leave"))
    assert f"F({apart_df - noise_df},{noise_df}) = {ms_left / ms:.2f}, p = " in said
    assert f"p = {stats.f.sf(ms_left / ms, apart_df - noise_df, noise_df):.2f}." in said
    per_level = own["hash"].nunique() / types
    squares = (ms_main - ms_seed) / (seeds * per_level), (ms_left - ms) / seeds, (ms_seed - ms) / per_level
    sds = [max(0, one) ** 0.5 for one in squares]
    assert (
        f"main effects {sds[0]:.2f} a stage, interactions {sds[1]:.2f}, type x seed {sds[2]:.2f}, "
        f"one training {ms**0.5:.2f}." in said
    )


def test_every_fact_of_the_short_table_follows_from_its_csv():
    """All that ``chattn-nas table cifar_resnet8_16px`` prints and the test above leaves out."""
    said = CliRunner().invoke(app, ["table", "cifar_resnet8_16px", "--json"]).stdout
    found = json.loads(re.sub(r"(?<=[a-z])\([^)]*\)", "", said))  # settings: every type has one
    rows = pd.read_csv(TABLES / "cifar_resnet8_16px.csv.xz")
    types = rows[["stage1", "stage2", "stage3"]] if "stage1" in rows else None
    if types is None:
        types = pd.DataFrame(rows["stages"].map(lambda text: [one["type"] for one in json.loads(text)]).tolist())
    rows = rows.assign(**{f"s{at}": column for at, (_, column) in enumerate(types.items(), 1)})
    control = (types == "random_gate").any(axis=1)
    assert found["random_gate"] == pytest.approx(100 * rows.loc[control, "test_accuracy"].mean())
    rows = rows[~control]
    assert (found["networks"], found["seeds"]) == (rows["hash"].nunique(), rows["seed"].nunique()) == (216, 3)
    rows = rows.assign(v=100 * rows["accuracy"], t=100 * rows["test_accuracy"], e=rows["epoch1"])
    squares, freedom = left(rows["v"].to_numpy(), dummies(rows["hash"]), dummies(rows["seed"]))
    assert found["paired"] == pytest.approx((2 * squares / freedom) ** 0.5)
    alone = rows.groupby("hash")["v"].var().mean()
    assert found["unpaired"] == pytest.approx((2 * alone) ** 0.5)

    def power(pairs: int) -> float:
        limit = stats.t.ppf(0.975, pairs - 1)
        return float(stats.nct.sf(limit, pairs - 1, 0.3 * pairs**0.5 / found["paired"]))

    assert power(found["seeds_needed"]) >= 0.8 > power(found["seeds_needed"] - 1)
    squares, freedom = left(rows["t"].to_numpy(), dummies(rows["hash"]), dummies(rows["seed"]))
    means, error = rows.groupby("hash")["t"].mean(), squares / freedom / 3
    assert found["spread"] == pytest.approx((means.var() - error) ** 0.5)
    ends, early = (rows.pivot(index="hash", columns="seed", values=one) for one in ("v", "e"))
    same = [stats.kendalltau(early[seed], ends[seed]).statistic for seed in ends]
    assert found["rung_taus"]["1"] == pytest.approx(np.mean(same))
    first = rows.drop_duplicates("hash").set_index("hash")
    for at in (1, 2, 3):
        told = found["type_means"][f"stage {at}"]
        assert told == pytest.approx((means - means.mean()).groupby(first[f"s{at}"]).mean().to_dict())
    uniform = first[(first["s1"] == first["s2"]) & (first["s2"] == first["s3"])].index
    assert found["uniforms"] == pytest.approx(dict(zip(first["s1"][uniform], means[uniform], strict=True)))
    assert found["luck"] == pytest.approx(means.drop(index=uniform).max() - means[uniform].max())
    best = first.loc[means.drop(index=uniform).idxmax(), ["s1", "s2", "s3"]]
    assert found["best_mixed"] == " | ".join(best)
    assert set(found["best_uniform"].split(" | ")) == {first["s1"][means[uniform].idxmax()]}
    y = means.to_numpy()
    main = [pd.get_dummies(first.loc[means.index, f"s{at}"]).to_numpy(float) for at in (1, 2, 3)]
    apart, apart_df = left(y, *main)
    effects = len(y) - 1 - apart_df
    whole = ((y - y.mean()) ** 2).sum()
    explained = (whole - apart - effects * error) / (whole - (len(y) - 1) * error)
    assert found["additive"] == pytest.approx(min(1.0, max(0.0, explained)))
    assert found["interaction"] == pytest.approx(max(0.0, apart / apart_df - error) ** 0.5)


def test_what_the_page_of_starts_says_follows_from_its_rows():
    """Every mean, and every Kendall's tau of docs/start.md between the generated marks, but the bootstrap's limits."""
    root = Path(__file__).parents[2]
    rows = pd.read_csv(root / "scripts" / "benchmarks" / "start.csv")
    said = (root / "docs" / "start.md").read_text().split("<!-- begin")[1]
    assert len(rows) == sum(int(count) for count in re.findall(r"^(\d+) trainings, ", said, re.M))
    rows["accuracy"] *= 100
    rows.loc[rows["network"] == "none", "start"] = "any"
    rows = rows.drop_duplicates([one for one in rows.columns if one not in ("seconds", "date", "device")])
    long = rows[(rows["images"] == 20_000) & (rows["branch_scale"] == 1)]

    def table(head: str) -> dict[str, list[str]]:
        lines = said[said.index(head) :].split("\n\n")[0].splitlines()[2:]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        return {first: others for first, *others in cells}

    found = table("| network | 3 epochs, official |")
    assert len(found) == 10
    for name, cells in found.items():
        columns = [(epochs, start) for epochs in (3, 6, 15, 20) for start in ("official", "identity", "unit", "any")]
        for (epochs, start), cell in zip(columns, cells, strict=True):
            mine = long[(long["network"] == name) & (long["epochs"] == epochs) & (long["start"] == start)]["accuracy"]
            spread = f" ± {mine.std():.1f}" if len(mine) > 1 else ""
            assert cell == (f"{mine.mean():.1f}{spread} ({len(mine)})" if len(mine) else ""), (name, epochs, start)

    means = {
        (epochs, start): long[(long["epochs"] == epochs) & long["start"].isin([start, "any"])]
        .groupby("network")["accuracy"].mean()
        for epochs in (3, 6, 15, 20) for start in ("official", "identity", "unit")
    }  # fmt: skip
    names = sorted(set.intersection(*(set(one.index) for one in means.values())))
    assert f"start, over {len(names)} networks" in said
    end = sum(means[20, start][names] for start in ("official", "identity", "unit"))
    taus = {key: stats.kendalltau(one[names], end).statistic for key, one in means.items()}
    for epochs, (unit, *others) in table("| epochs | unit | official | identity |").items():
        lengths = [3, 6, 15] if epochs == "mean" else [int(epochs)]
        wanted = {start: np.mean([taus[length, start] for length in lengths]) for start in ("official", "identity")}
        own = np.mean([taus[length, "unit"] for length in lengths])
        assert unit == f"{own:.2f}"
        for start, cell in zip(wanted, others, strict=True):
            assert cell.startswith(f"{wanted[start]:.2f} ({own - wanted[start]:+.2f} [")


def test_the_words_about_the_tables_follow_from_them():
    """What docs/tables.md and docs/cost.md say in sentences, beside what the command prints."""
    root = Path(__file__).parents[2] / "docs"
    words = " ".join((root / "tables.md").read_text().split())
    rows = {name: pd.read_csv(TABLES / f"{name}.csv.xz") for name in table_names()}
    for name, found in rows.items():
        assert f"| `{name}` | {len(found):,} |" in words
    long = rows["cifar_resnet8_16px_20ep"]
    long["name"] = long["stages"].map(lambda text: " | ".join(choice["type"] for choice in json.loads(text)))
    ends = long[(long["plan"] == "table") & (long["epochs"] == 20)]
    tests = 100 * ends.pivot(index="name", columns="seed", values="test_accuracy")
    uniform = {name.split(" | ")[0]: name for name in tests.index if len(set(name.split(" | "))) == 1}
    for kind in ("se", "eca", "fca", "shuffle"):  # "lie within their intervals of none, and of the random gate"
        for rival in ("none", "random_gate"):
            assert stats.ttest_rel(tests.loc[uniform[kind]], tests.loc[uniform[rival]]).pvalue > 0.05
    own = ends[~ends["name"].str.contains("random_gate|channel_scale")]
    y = 100 * own["accuracy"].to_numpy()
    squares, freedom = left(y, dummies(own["name"]), dummies(own["seed"]))
    alone = (100 * own.set_index("name")["accuracy"]).groupby("name").var().mean()
    pair = f"{(2 * squares / freedom) ** 0.5:.2f}", f"{(2 * alone) ** 0.5:.2f}"
    assert pair == ("0.42", "0.42")
    assert "the standard deviation of a difference of two networks is 0.42 points on one seed and on two" in words
    pilot = long[(long["plan"] == "pilot") & long["name"].str.startswith("sge")]["accuracy"]
    assert f"SGE learned hardly anything ({' and '.join(f'{100 * one:.0f} %' for one in sorted(pilot))}" in words
    costs = (root / "cost.md").read_text()
    truth = tests.loc[own["name"].unique()].mean(axis=1)
    first = own.drop_duplicates("name").set_index("name").loc[truth.index]
    for column, label in (("parameters", "parameters"), ("macs", "MACs")):
        assert f"| {label} | 1 | {stats.kendalltau(first[column], truth).statistic:+.2f} [" in costs
    short = long[(long["plan"] == "lengths") & (long["epochs"] == 3) & long["name"].isin(truth.index)]
    taus = [stats.kendalltau(one.set_index("name")["test_accuracy"][truth.index], truth).statistic
            for _, one in short.groupby("seed")]  # fmt: skip
    assert f"reaches {min(taus):.2f} to {max(taus):.2f} (test accuracy, four seeds" in " ".join(costs.split())
