import itertools

import numpy as np
import pytest
from results_study import TYPES, add_trial, architecture_of, make_world, new_study, simulate

from chattn_nas.report import markdown
from chattn_nas.results import efficiency, importance
from chattn_nas.results._efficiency import expected_best
from chattn_nas.space import Architecture, StageChoice


def test_the_stage_that_decides_is_the_most_important():
    study = new_study()
    rng = np.random.default_rng(0)
    for seed, cell in enumerate(itertools.product(range(3), range(3), range(5))):
        accuracy = 90 + 2 * cell[1] + 0.1 * rng.standard_normal()
        add_trial(study, architecture_of(cell), seed=seed, accuracies=[70, accuracy])
    table = importance(study).set_index("stage")
    for evaluator in ("fanova", "ped_anova"):
        assert table[evaluator].sum() == pytest.approx(1)
        assert table[evaluator].idxmax() == 2
    assert table.loc[2, "fanova"] > 0.9
    assert table["trainings"].tolist() == [45] * 3
    assert table["values"].tolist() == [3, 3, 5]


@pytest.mark.parametrize("odd", [0.0, 40.0])
def test_scores_that_are_all_equal_but_perhaps_one_decide_nothing_and_get_a_report(odd):
    """Thirty validation images that all networks know: the report ended in a traceback of the forest."""
    study = new_study()
    for seed, cell in enumerate(itertools.product(range(3), range(3), range(3))):
        label = "none" if not seed else ""
        add_trial(study, architecture_of(cell), seed=seed % 2, label=label, accuracies=[50, 50 + odd * (seed == 5)])
    table = importance(study)
    assert len(table) == 0 if not odd else set(table["stage"]) == {1, 2, 3}
    assert "simulated" in markdown(study)


def test_settings_are_judged_among_those_that_have_them():
    study = new_study()
    choices = [StageChoice(), StageChoice("se", {"reduction": 2}), StageChoice("se", {"reduction": 8})]
    backbone = architecture_of((0, 0, 0)).backbone
    for seed, (first, second) in enumerate(itertools.product(choices, choices)):
        for repeat in range(2):
            architecture = Architecture(backbone, (first, second, StageChoice()))
            accuracy = 90 + (first == choices[2]) + 0.01 * repeat + 0.001 * seed
            add_trial(study, architecture, seed=10 * seed + repeat, accuracies=[70, accuracy])
    table = importance(study).set_index(["stage", "parameter"])
    assert table.loc[(1, "se.reduction"), "trainings"] == 12
    assert np.isnan(table.loc[(1, "se.reduction"), "fanova"])
    assert table.loc[(1, "se.reduction"), "ped_anova"] > table.loc[(2, "se.reduction"), "ped_anova"]


def test_twenty_types_a_stage_take_no_longer_than_few():
    """One column per type made Optuna's fANOVA look at 2 to the power of their number: at twenty for days."""
    types = ["none", "bam", "cbam", "coordinate", "eca", "ema", "enc", "fca", "gather_excite", "gct", "gsop",
             "mca", "ortho", "rcan", "scsa", "scse", "se", "shuffle", "soca", "srm"]  # fmt: skip
    study, rng = new_study(), np.random.default_rng(0)
    effects = np.outer([0, 1, 2], rng.normal(size=len(types)))
    for seed in range(200):
        cell = rng.integers(len(types), size=3)
        stages = tuple(StageChoice(types[place]) for place in cell)
        accuracy = 90 + effects[range(3), cell].sum() + 0.1 * rng.normal()
        architecture = Architecture(architecture_of((0, 0, 0)).backbone, stages)
        add_trial(study, architecture, seed=seed, accuracies=[70, accuracy], known=types)
    shares = importance(study).set_index("stage")["fanova"]
    assert shares.tolist() == pytest.approx([0, 0.2, 0.8], abs=0.1)


def test_too_few_trainings_have_no_importance():
    assert importance(new_study()).empty
    assert importance(simulate(make_world(0), 10)).empty


def test_expected_best_is_that_of_all_orders():
    values = np.random.default_rng(0).normal(size=6)
    wanted = [np.mean([max(drawn) for drawn in itertools.combinations(values, k)]) for k in range(1, 7)]
    assert expected_best(values) == pytest.approx(wanted)
    assert len(expected_best(np.array([]))) == 0


def test_order_of_the_search_against_random_order(study):
    table = efficiency(study)
    assert table["best"].is_monotonic_increasing
    assert table["random"].is_monotonic_increasing
    assert table["best"].iloc[-1] == pytest.approx(table["random"].iloc[-1]), "both end with all networks"
    assert table["trial"].is_monotonic_increasing
    assert efficiency(new_study()).empty


def test_a_search_that_found_the_best_first_lies_above():
    study = new_study()
    for index in range(len(TYPES) - 1):
        for seed in range(2):
            accuracies = [70, 95 - 2 * index + 0.1 * seed]
            add_trial(study, architecture_of((index, 0, 0)), seed=seed, accuracies=accuracies)
    table = efficiency(study)
    assert (table["best"].iloc[:-1] > table["random"].iloc[:-1]).all()
