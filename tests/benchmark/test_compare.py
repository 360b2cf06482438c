import random

import numpy as np
import pytest

from chattn_nas.benchmark import METHODS, compare_picks, compare_samplers, ground, write_comparison
from chattn_nas.benchmark.compare import NEAR, Search, _crossing, _InTurn, _ours, cost_to_come_near, course, run_search
from chattn_nas.benchmark.simulate import ranked, simulate
from chattn_nas.errors import InputError
from chattn_nas.search.pruning import build_pruner
from chattn_nas.spec import SearchSettings


def test_a_simulated_search_spends_its_budget_and_repeats_nothing(simulated):
    for name in ("random", "tpe", "evolution", "random + halving"):
        sampler, pruner = METHODS[name](simulated, 3)
        found = simulate(simulated, sampler, budget=20, seeds=(2, 0, 1), pruner=pruner)
        spent = sum(record.rungs[-1].epoch for record in found) / 3
        assert 20 <= spent < 21
        trained = [(record.hash, record.seed) for record in found]
        assert len(set(trained)) == len(trained)
        for record in found:
            assert len(record.rungs) == (2 if record.outcome == "complete" else 1)


def test_an_answer_from_the_record_costs_what_it_costs_in_a_search(simulated):
    """Answered trials cost budget in a search, and were free here: what proposes the same again looked cheap."""
    one = simulated.space.params(next(iter(simulated.networks.values())))
    asked = []
    found = simulate(simulated, _InTurn([one]), budget=10, seeds=(0, 1), baselines=False,
                     settled=lambda study: asked.append(len(study.trials)) or False)  # fmt: skip
    assert [record.seed for record in found] == [0, 1]
    assert asked == [1, 2]
    sampler, _ = METHODS["random"](simulated, 0)
    looks = iter([False, False, False, True])
    assert len(simulate(simulated, sampler, budget=30, seeds=(0,), settled=lambda study: next(looks))) == 4


def test_the_course_of_a_search_says_how_far_it_was_and_how_it_ranked(simulated):
    early, late = course(run_search(simulated, "random", 1, 60), (8, 60))
    assert (early.trainings, late.trainings) == (8, 60)
    assert 0 <= late.short <= early.short
    assert 0.4 < late.tau <= 1
    assert early.tau < late.tau
    world = ground("world_rungs")(3)
    assert [rung.epoch for rung in world.measurement(world.space.random(random.Random(0)), 1).rungs] == [4, 16]
    found = run_search(world, "random + halving", 3, 16)
    assert {record.outcome for record in found.records} == {"complete", "pruned"}
    (end,) = course(found, (16,))
    assert end.short >= 0
    assert -1 <= end.tau <= 1


def test_baselines_come_first_and_are_never_stopped(simulated):
    sampler, pruner = METHODS["random + halving"](simulated, 0)
    found = simulate(simulated, sampler, budget=12, seeds=(0, 1, 2), pruner=pruner)
    first = [{stage["type"] for stage in record.stages} for record in found[:5]]
    assert first == [{"none"}, {"se"}, {"eca"}, {"gct"}, {"srm"}]
    assert all(record.outcome == "complete" for record in found[:5])
    assert any(record.outcome == "pruned" for record in found[5:])


def test_the_same_seed_searches_the_same(simulated):
    one, two = (
        [r.hash for r in simulate(simulated, _ours("tpe")(simulated, 5)[0], budget=15, seeds=(0, 1))] for _ in range(2)
    )
    assert one == two


def test_rankings_look_at_what_they_say(simulated):
    sampler, _ = METHODS["random"](simulated, 1)
    found = simulate(simulated, sampler, budget=30, seeds=(1, 2))
    rankings = {by: ranked(found, by) for by in ("single", "mean", "pooled")}
    assert rankings["single"][0] == max(found, key=lambda record: record.score or 0).hash
    assert all(set(one) == {record.hash for record in found} for one in rankings.values())
    assert rankings["single"] != rankings["pooled"]


def test_regret_is_counted_from_the_best_network(simulated):
    found = compare_samplers({"one": lambda number: simulated}, budget=15, repeats=4, methods=("random", "pooled"))
    assert len(found) == 6
    assert (found["regret"] >= 0).all()
    assert (found["low"] <= found["regret"]).all()
    assert (found["regret"] <= found["high"]).all()
    spread = max(simulated.values.values()) - min(simulated.values.values())
    assert (found["regret"] < spread).all()
    assert (found["gain_low"] < found["gain"]).all()
    assert (found[["gain", "gain10", "tau"]] > 0).all(axis=None), "better than a network drawn blindly"
    assert (found["tau"] < found["tau_high"]).all()
    with pytest.raises(InputError, match="did you mean 'tpe'"):
        compare_samplers({"one": lambda number: simulated}, methods=("tpee",))


def test_replicates_and_budgets_cost_the_same(simulated):
    found = compare_picks(simulated, budgets=(12, 60), repeats=6)
    assert list(found["seeds"].unique()) == [1, 2, 3]
    by_budget = found[found["by"] == "pooled"].groupby("budget")["regret"].mean()
    assert by_budget[60] < by_budget[12], "more trainings find better networks"
    assert found["gain"].isna().equals(found["seeds"] == 3), "no seed is left to measure it on"


def test_the_comparison_is_written_as_table_and_figure(simulated, tmp_path):
    two = {"one": lambda number: simulated, "world_interactions": ground("world_interactions")}
    found = compare_samplers(two, budget=8, repeats=2, methods=("random", "optuna.samplers:TPESampler"))
    write_comparison(found, tmp_path / "out")
    assert (tmp_path / "out" / "comparison.csv").read_text().count("\n") == 1 + 2 * 2 * 3
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "TPESampler" in page
    assert "world_interactions" in page
    assert 'src="http' not in page


def test_the_cost_to_come_near_is_where_the_mean_of_the_searches_crosses():
    assert _crossing([10, 20, 40], np.array([0.6, 0.4, 0.0])) == 30
    assert _crossing([10, 20, 40], np.array([NEAR, 0.4, 0.0])) == 10
    assert _crossing([10, 20, 40], np.array([0.6, 0.4, 0.3])) == float("inf")


def test_costs_count_what_a_search_knew_by_then(simulated):
    sampler, pruner = METHODS["random + halving"](simulated, 0)
    one = Search(simulated, simulate(simulated, sampler, budget=12, seeds=(0, 1), pruner=pruner), [2])
    spent = sum(record.rungs[-1].epoch for record in one.after(7)) / 3
    assert 6 <= spent <= 7
    assert one.after(100) == one.records
    found = cost_to_come_near([10, 40], np.array([[0.5, 0.1], [0.4, 0.0]]), [one.unit, one.unit])
    assert one.unit == (2,)
    assert found["cost_low"] <= found["cost"] <= found["cost_high"]
    assert simulated.short(max(simulated.settled, key=simulated.settled.get)) == 0


def test_the_pooled_pruner_stops_what_can_hardly_be_the_best(simulated):
    sampler, _ = METHODS["random"](simulated, 2)
    pruner = build_pruner(SearchSettings(pruner="pooled"), simulated.rungs, simulated.space)
    found = simulate(simulated, sampler, budget=24, seeds=(0, 1), pruner=pruner)
    worth = {end: [simulated.values[one.hash] for one in found if one.outcome == end] for end in ("complete", "pruned")}
    assert len(worth["pruned"]) > 5
    assert np.mean(worth["pruned"]) < np.mean(worth["complete"])
    ended = [one.outcome for one in found]
    assert "pruned" not in ended[:5], "nothing is stopped before five have ended"
    best = max(found, key=lambda one: simulated.values[one.hash])
    assert best.outcome == "complete"
