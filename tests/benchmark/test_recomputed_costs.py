"""What docs/cost.md says, computed again from the searches and scores that are kept beside its scripts."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from chattn_nas.benchmark import load
from chattn_nas.benchmark.lookup import TABLES


def test_what_the_page_of_costs_says_follows_from_its_searches():
    """Points below the best, differences in pairs, Kendall's tau, by Student's t (of tables Nadeau and Bengio's)."""
    root = Path(__file__).parents[2]
    rows = pd.read_csv(root / "scripts" / "benchmarks" / "samplers.csv")
    sections = re.split(r"^### `(\w+)`.*$", (root / "docs" / "cost.md").read_text(), flags=re.M)
    tables = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert set(tables) == set(rows["ground"])

    def told(values: pd.Series, units: pd.Series, sign: str = "") -> str:
        means = values.groupby(units).mean()
        count = len(means)
        shared = 0 if str(units.iloc[0]).startswith("world") else 1 / (count - 1)
        half = stats.t.ppf(0.975, count - 1) * means.std(ddof=1) * (1 / count + shared) ** 0.5
        said = f"{means.mean():{sign}.2f} ± {half:.2f}"
        return f"**{said}**" if sign and abs(means.mean()) > half else said

    for ground, mine in rows.groupby("ground"):
        units = mine.drop_duplicates("search").set_index("search")["unit"].astype(str)
        for method, of in mine.groupby("method"):
            if of["search"].nunique() < 2:
                continue
            line = next(line for line in tables[ground].splitlines() if line.startswith(f"| {method} |"))
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert cells[1] == str(of["search"].nunique())
            for place, trainings in enumerate((10, 20, 40)):
                short, tau, theirs = (
                    one[one["trainings"] == trainings].set_index("search")[column]
                    for one, column in ((of, "short"), (of, "tau"), (mine[mine["method"] == "pooled"], "short"))
                )
                assert cells[2 + place] == told(short, units)
                assert cells[8 + place] == told(tau, units)
                more = (short - theirs).dropna()
                assert cells[5 + place] == ("" if method == "pooled" else told(more, units[more.index], "+"))


@pytest.mark.parametrize("name", ["cifar_resnet8_16px_20ep", "imagenette_resnet18_64px_20ep"])
def test_what_the_page_says_of_shared_weights_follows_from_their_scores(name):
    """Kendall's tau of every score with the test accuracy of the table's networks, the mean over supernets."""
    root = Path(__file__).parents[2]
    page = (root / "docs" / "cost.md").read_text().partition(f" networks of `{name}`\n")[2].partition("\n####")[0]
    kept = root / "scripts" / "benchmarks" / "one_shot" / name
    long = pd.read_csv(TABLES / f"{name}.csv.xz")
    ends = long[(long["plan"] == "table") & (long["epochs"] == 20)]
    names = ends["stages"].map(lambda text: " | ".join(choice["type"] for choice in json.loads(text)))
    truth = ends.groupby(names)["test_accuracy"].mean().round(9)  # where means are equal they differ by rounding
    called = {key: " | ".join(one.type for one in network.stages) for key, network in load(name).networks.items()}
    scores: dict[str, list[dict[str, float]]] = {}
    for one in map(json.loads, (kept / "supernets.jsonl").read_text().splitlines()):
        told = f"supernet, {one['epochs']} epochs" if one["epochs"] else "supernet, untrained"
        for kind, more in (("score", ""), ("additive", ", sum over stages"), ("spread", ", spread of its logits")):
            scores.setdefault(told + more, []).append(one[kind])
    for one in map(json.loads, (kept / "zero.jsonl").read_text().splitlines()):
        for score, found in one["scores"].items():
            scores.setdefault(score, []).append(found)
    gates = {key: -sum(one not in ("none", "gct") for one in text.split(" | ")) for key, text in called.items()}
    scores["fewer sigmoid gates"] = [gates]
    assert {"supernet, 3 epochs", "supernet, 7 epochs", "supernet, 20 epochs", "synflow"} <= set(scores)
    for score, found in scores.items():
        tables = [pd.Series({called[key]: value for key, value in one.items()}) for one in found]
        everywhere, without = (
            np.mean([stats.kendalltau(one[keys], truth[keys]).statistic for one in tables])
            for keys in (list(tables[0].index), [key for key in tables[0].index if "shuffle" not in key])
        )
        line = next(line for line in page.splitlines() if line.startswith(f"| {score} |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1] == str(len(found))
        assert cells[2].startswith(f"{everywhere:+.2f} [")
        if any("shuffle" in key for key in tables[0].index):
            assert cells[4].startswith(f"{without:+.2f} [")
