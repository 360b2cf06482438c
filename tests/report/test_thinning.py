"""A page stays small however large the study is, and what is shown of it is what matters."""

import json

import numpy as np
import pandas as pd
from results_study import make_world, simulate

from chattn_nas.report import write_report
from chattn_nas.report.progress_figures import efficiency, progress, rungs
from chattn_nas.report.thinning import POINTS, changes, spread
from chattn_nas.results.pareto import hypervolume, hypervolume_over_time


def test_spread_keeps_ends_and_what_matters_in_order():
    table = pd.DataFrame({"best": np.repeat([1.0, 2.0, 5.0], [400, 599, 1]), "number": np.arange(1000)})
    shown = spread(table, 50, changes(table["best"]))
    assert len(shown) == 50
    assert {0, 400, 999} <= set(shown["number"])
    assert shown["number"].is_monotonic_increasing
    assert shown["number"].diff().max() < 60, "the rest is spread evenly"
    assert len(spread(table, 20, table["number"] >= 0)) == 20, "of too much to keep, an even spread"
    assert spread(table, 1000) is table


def test_figures_of_many_trainings_hold_few_points():
    rng, n = np.random.default_rng(0), 20_000
    score = rng.normal(90, 1, n)
    table = pd.DataFrame(
        {"number": np.repeat(np.arange(n), 2), "hash": np.repeat([f"{i:x}" for i in range(n)], 2),
         "architecture": "se | eca", "outcome": np.repeat(np.where(rng.random(n) < 0.5, "complete", "pruned"), 2),
         "epoch": np.tile([2, 6], n), "score": np.stack([score - 8, score], 1).ravel()}
    )  # fmt: skip
    drawn = rungs(table, best="0")
    assert sum(len(trace["x"]) for trace in drawn["data"]) < 4 * POINTS
    assert [trace["name"] for trace in drawn["data"]] == ["complete", "recommended", "stopped early"]
    course = pd.DataFrame(
        {"number": np.arange(n), "networks": np.arange(n), "score": score, "best": np.maximum.accumulate(score),
         "hypervolume": np.linspace(0, 1, n), "random": score}
    )  # fmt: skip
    for figure in (progress(course), efficiency(course)):
        assert max(len(trace["x"]) for trace in figure["data"]) == POINTS
        assert figure["data"][1]["x"][-1] == n - 1
    assert max(progress(course)["data"][1]["y"]) == score.max()


def test_a_page_is_below_two_megabytes_and_its_numbers_are_short(tmp_path):
    page = write_report(tmp_path, simulate(make_world(4), 60, prune=0.3)).read_bytes()
    assert len(page) < 1_500_000
    figure = json.loads(page.partition(b'id="figure-progress">')[2].partition(b"</script>")[0])
    assert max(len(str(y)) for y in figure["data"][0]["y"]) <= 10


def test_hypervolume_over_time_is_that_of_all_points_so_far():
    study = simulate(make_world(2), 40)
    table = hypervolume_over_time(study)
    done = [t for t in study.trials if t.value is not None]
    points = np.array([(-100 * t.value, t.user_attrs["measurement"]["parameters"]) for t in done])
    low, high = points.min(0), points.max(0)
    unit = (points - low) / (high - low)
    controls = np.array([t.user_attrs["label"] in ("random_gate", "channel_scale") for t in done])
    for end in (1, 7, len(done)):
        expected = hypervolume(unit[:end][~controls[:end]], (1.01, 1.01)) / 1.01**2
        assert table["hypervolume"].iloc[end - 1] == expected
