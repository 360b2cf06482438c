"""What docs/cost.md says, computed again from the searches and scores that are kept beside its scripts."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from chattn_nas.benchmark import load
from chattn_nas.benchmark.lookup import TABLES


def test_what_the_page_of_costs_says_follows_from_its_searches():
    """Points below the best with their intervals, differences in pairs and Kendall's tau, by Student's t."""
    root = Path(__file__).parents[2]
    rows = pd.read_csv(root / "scripts" / "benchmarks" / "samplers.csv")
    sections = re.split(r"^### `(\w+)`.*$", (root / "docs" / "cost.md").read_text(), flags=re.M)
    tables = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert set(tables) == set(rows["ground"])

    def told(values: pd.Series, units: pd.Series, sign: str = "") -> str:
        means = values.groupby(units).mean()
        half = stats.t.ppf(0.975, len(means) - 1) * stats.sem(means)
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


def test_what_the_page_says_of_shared_weights_follows_from_their_scores():
    """Kendall's tau of every score with the test accuracy of the long table's networks, the mean over supernets."""
    root = Path(__file__).parents[2]
    page, kept = (root / "docs" / "cost.md").read_text(), root / "scripts" / "benchmarks" / "one_shot"
    long = pd.read_csv(TABLES / "cifar_resnet8_16px_20ep.csv.xz")
    ends = long[(long["plan"] == "table") & (long["epochs"] == 20)]
    names = ends["stages"].map(lambda text: " | ".join(choice["type"] for choice in json.loads(text)))
    truth = ends.groupby(names)["test_accuracy"].mean()
    called = {key: " | ".join(one.type for one in network.stages)
              for key, network in load("cifar_resnet8_16px_20ep").networks.items()}  # fmt: skip
    scores: dict[str, list[dict[str, float]]] = {}
    for one in map(json.loads, (kept / "supernets.jsonl").read_text().splitlines()):
        told = f"supernet, {one['epochs']} epochs" if one["epochs"] else "supernet, untrained"
        for kind, more in (("score", ""), ("additive", ", sum over stages"), ("spread", ", spread of its logits")):
            scores.setdefault(told + more, []).append(one[kind])
    for one in map(json.loads, (kept / "zero.jsonl").read_text().splitlines()):
        for name, found in one["scores"].items():
            scores.setdefault(name, []).append(found)
    assert {"supernet, 3 epochs", "supernet, 7 epochs", "supernet, 20 epochs", "synflow"} <= set(scores)
    for name, found in scores.items():
        tables = [pd.Series({called[key]: value for key, value in one.items()}) for one in found]
        everywhere, without = (
            np.mean([stats.kendalltau(one[keys], truth[keys]).statistic for one in tables])
            for keys in (list(tables[0].index), [key for key in tables[0].index if "shuffle" not in key])
        )
        line = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1] == str(len(found)) == "3"
        assert cells[2].startswith(f"{everywhere:+.2f} [")
        assert cells[4].startswith(f"{without:+.2f} [")
