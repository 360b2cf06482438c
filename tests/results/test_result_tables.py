import numpy as np
import optuna
import pytest
from results_study import add_trial, architecture_of, new_study

from chattn_nas.errors import InputError, RunError
from chattn_nas.results import Standing, best, front, hypervolume_over_time, leaderboard, rungs, select, stages, trials
from chattn_nas.results.pareto import hypervolume


def test_trials_has_one_row_per_trial_and_one_outcome_column(study):
    table = trials(study)
    assert len(table) == len(study.trials)
    assert list(table.columns).count("outcome") == 1
    assert {"complete", "pruned", "infeasible", "crashed", "out_of_memory"} == set(table["outcome"])
    complete = table[table["outcome"] == "complete"]
    assert complete["accuracy"].between(80, 100).all()
    assert table.loc[table["outcome"] != "complete", "accuracy"].isna().all()
    assert (complete["accuracy"] == complete["epoch6"]).all()
    assert table.loc[table["outcome"] == "pruned", "epoch2"].notna().all()


def test_tables_of_an_empty_study_are_empty():
    empty = new_study()
    for table in (trials(empty), leaderboard(empty), rungs(empty), stages(empty), hypervolume_over_time(empty)):
        assert len(table) == 0
    with pytest.raises(RunError, match="no best"):
        best(empty)


def test_a_running_trial_is_shown_without_accuracy():
    study = new_study()
    study.ask()
    table = trials(study)
    assert table["outcome"].tolist() == ["running"]


def repeats() -> optuna.Study:
    study = new_study()
    for seed, accuracy in enumerate((90.0, 91.0, 92.0)):
        add_trial(study, architecture_of((1, 1, 1)), seed=seed, accuracies=[70, accuracy], label="uniform se")
    add_trial(study, architecture_of((0, 0, 0)), seed=0, accuracies=[70, 95.0], label="none")
    add_trial(study, architecture_of((1, 1, 1)), seed=2, accuracies=[70, 91.0], value_source="replicates answered")
    add_trial(study, architecture_of((2, 1, 1)), seed=0, accuracies=[60.0], outcome="pruned")
    return study


def test_leaderboard_goes_by_architecture_with_mean_and_standard_error():
    table = leaderboard(repeats(), by="mean").set_index("label")
    assert len(table) == 2, "an architecture that was never trained to the end has no place"
    assert table.loc["uniform se", "seeds"] == 3, "an answer from the record is no evidence"
    assert table.loc["uniform se", "mean"] == pytest.approx(91)
    assert table.loc["uniform se", "se"] == pytest.approx(1 / np.sqrt(3))
    assert table.loc["uniform se", "single"] == pytest.approx(92)
    assert np.isnan(table.loc["none", "se"])
    assert table.loc["none", "rank"] == 1


def test_a_duplicate_of_architecture_and_seed_counts_once():
    study = repeats()
    add_trial(study, architecture_of((1, 1, 1)), seed=0, accuracies=[70, 90.0])
    assert leaderboard(study).set_index("label").loc["uniform se", "seeds"] == 3


def test_the_control_is_never_recommended():
    study = new_study()
    for types, label, accuracy in (((0, 0, 0), "none", 80.0), ((5, 5, 5), "random_gate", 99.0), ((1, 0, 2), "", 85.0)):
        add_trial(study, architecture_of(types), seed=0, accuracies=[60, accuracy], label=label)
    assert best(study, by="single").description == "se | none | eca"
    control = Standing(study).control()
    assert control is not None
    assert control.single == pytest.approx(99)
    assert "random_gate" not in front(leaderboard(study))["label"].tolist()


def test_ranking_by_an_unknown_criterion_is_refused(study):
    with pytest.raises(InputError, match="did you mean 'pooled'"):
        best(study, by="poold")
    with pytest.raises(InputError, match="possible: pooled, mean, single"):
        leaderboard(study, by="x")


def test_rungs_and_stages(study):
    table = rungs(study)
    assert set(table["epoch"]) == {2, 6}
    pruned = table[table["outcome"] == "pruned"]
    assert (pruned["epoch"] == 2).all()
    effects = stages(study)
    assert effects.groupby("stage").size().tolist() == [6, 6, 6]
    none = effects[effects["type"] == "none"]
    assert (none["effect"].abs() < 1e-9).all()
    assert (effects["low"] <= effects["high"]).all()


def test_settings_that_were_searched_are_shown_and_defaults_are_not():
    study = new_study()
    from optuna.distributions import CategoricalDistribution

    add_trial(study, architecture_of((1, 2, 0)), seed=0, accuracies=[1, 2])
    assert trials(study)["architecture"][0] == "se | eca | none"
    trial = study.trials[0]
    study.add_trial(
        optuna.trial.create_trial(
            value=1.0,
            params={"stage1.se.reduction": 16},
            distributions={"stage1.se.reduction": CategoricalDistribution((8, 16))},
            user_attrs=trial.user_attrs,
        )
    )
    assert trials(study)["architecture"][0] == "se(reduction=16) | eca | none"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("parameters<1.0x", []),
        ("params<=1.000x and outcome=complete", ["none", "random_gate"]),
        ("parameters > 78.1k, label ~ uniform", ["uniform se", "uniform fca"]),
        ("label = 'none'", ["none"]),
        ("label!=none and accuracy<=0", []),
        ("seconds>1e9", []),
    ],
)
def test_where(study, where, expected):
    table = trials(study).head(6)
    table = table[~table["label"].isin(["uniform eca", "uniform gct"])]
    assert select(table, where=where)["label"].tolist() == expected


def test_sort_puts_the_best_first(study):
    table = trials(study)
    accuracies = select(table, sort="accuracy")["accuracy"]
    assert accuracies.dropna().is_monotonic_decreasing
    assert np.isnan(accuracies.iloc[-1])
    assert select(table, sort="-accuracy")["accuracy"].dropna().is_monotonic_increasing
    assert select(table, sort="parameters")["parameters"].dropna().is_monotonic_increasing
    assert select(table, sort="hash")["hash"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("acuracy>1", "did you mean 'accuracy'"),
        ("accuracy", "cannot read the condition 'accuracy'"),
        ("__import__('os').system('x')", "cannot read"),
        ("accuracy>high", "is a number"),
        ("label>se", "compare it with"),
        ("seconds<2x", "seconds_x"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(study, where, message):
    with pytest.raises(InputError, match=message):
        select(trials(study), where=where)


def test_front_keeps_what_nothing_beats(study):
    table = leaderboard(study)
    kept = front(table)
    assert kept["parameters"].is_monotonic_increasing
    assert kept["pooled"].is_monotonic_increasing
    for _, row in table[table["label"] != "random_gate"].iterrows():
        at_most = kept[kept["parameters"] <= row["parameters"]]
        assert at_most["pooled"].max() >= row["pooled"]


def test_hypervolume_in_the_plane():
    points = np.array([(0.2, 0.5), (0.5, 0.2), (0.6, 0.6)])
    assert hypervolume(points, (1.0, 1.0)) == pytest.approx(0.55)
    assert hypervolume(np.empty((0, 2)), (1.0, 1.0)) == 0


def test_hypervolume_over_time_never_falls(study):
    table = hypervolume_over_time(study)
    assert table["hypervolume"].is_monotonic_increasing
    assert table["best"].is_monotonic_increasing
    assert 0 < table["hypervolume"].iloc[-1] <= 1
