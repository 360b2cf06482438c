import json

import optuna
import pytest
from typer.testing import CliRunner

from chattn_nas import Architecture
from chattn_nas.benchmark import Table, build_table, facts, load
from chattn_nas.benchmark.table import TABLES
from chattn_nas.cli import app
from chattn_nas.errors import InputError
from chattn_nas.spec import Spec

TINY = {
    "name": "tiny",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 300},
    "space": {"all": ["none", {"se": {"reduction": 4}}]},
    "proxy": {"rungs": [1, 2], "device": "cpu"},
}


def test_a_table_is_built_in_parts_and_never_trains_a_row_twice(tmp_path):
    spec, out = Spec.from_dict(TINY), tmp_path / "tiny.csv.xz"
    first = build_table(spec, seeds=1, out=out, run=tmp_path / "one", part=4, workers=0, progress=False)
    assert len(first) == 2**3 + 2, "all networks and the two controls"
    both = build_table(spec, seeds=2, out=out, run=tmp_path / "two", part=50, workers=0, progress=False)
    kept = both[both["seed"] == 0].reset_index(drop=True)
    assert kept[["hash", "accuracy", "seconds"]].equals(first[["hash", "accuracy", "seconds"]])
    table = Table(spec, out)
    assert table.seeds == (0, 1)
    assert set(table.control["label"]) == {"random_gate", "channel_scale"}
    measured = table.measurement(Architecture.uniform(spec.backbone.backbone, "se", reduction=4), seed=1)
    assert [rung.epoch for rung in measured.rungs] == [1, 2]
    assert measured.test_score is not None
    assert 0 <= measured.test_score <= 1
    assert measured.parameters == int(both[both["label"] == "uniform se"]["parameters"].iloc[0])


def test_a_table_asked_twice_may_answer_with_another_seed(simulated):
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.NopPruner())
    objective = simulated.objective(seed=0)
    fixed = simulated.space.params(next(iter(simulated.networks.values())))
    for _ in range(12):
        study.enqueue_trial(fixed)
    study.optimize(objective, n_trials=12)
    answers = {trial.value for trial in study.trials}
    assert len(answers) == 3
    assert all(set(trial.intermediate_values) == {1, 3} for trial in study.trials)


def test_what_is_not_in_a_table_is_refused(simulated):
    with pytest.raises(InputError, match=r"no training of .*rcan"):
        simulated.measurement(Architecture.uniform(simulated.spec.backbone.backbone, "rcan"), seed=0)
    with pytest.raises(InputError, match="there is no table 'cifar'"):
        load("cifar")


def test_facts_find_what_was_simulated(simulated):
    found = facts(simulated)
    assert (found.networks, found.seeds) == (125, 3)
    assert found.noise == pytest.approx(0.8, rel=0.15)
    assert found.paired == pytest.approx(0.8 * 2**0.5, rel=0.15)
    assert found.unpaired > found.paired, "seeds are blocks: a pair on one seed has less noise"
    assert found.seeds_needed > 50, "0.3 points against a noise of 0.8"
    assert 0.8 < found.additive <= 1, "interactions have a sixth of the variance of one stage's effects"
    assert found.rung_taus[1] < 1
    assert found.ceiling is not None
    assert 0 < found.ceiling < 1
    assert found.margin_low < found.margin < found.margin_high


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_table_can_be_asked(path):
    table = load(path.name.removesuffix(".yaml"))
    assert path.stat().st_size < 1_000_000
    assert len(table.rows) == len(table.networks) * len(table.seeds)
    assert table.rows["accuracy"].between(0, 1).all()
    assert (table.rows["date"].str.len() == 10).all(), "a figure comes with its date"
    assert table.rows["versions"].str.contains("torch").all()


def test_the_commands_ask_the_shipped_table(tmp_path, monkeypatch):
    def call(*words):
        done = CliRunner().invoke(app, [*words])
        assert done.exit_code == 0, done.output
        return done.stdout

    said = json.loads(call("table", "cifar_resnet8_16px", "--json"))
    assert (said["networks"], said["seeds"]) == (216, 3)
    assert 0.4 < said["noise"] < 0.6
    methods = ("--method", "random", "--method", "pooled + hyperband")
    monkeypatch.setenv("COLUMNS", "80")
    out = call("compare-samplers", "--budget", "10", "--repeats", "2", *methods, "--out", str(tmp_path))
    assert "random" in out
    rows = [line for line in out.splitlines() if "searches of" not in line]
    assert max(map(len, rows)) <= 80
    assert "hyperband" in "\n".join(rows), "a word is not cut"
    assert (tmp_path / "comparison.html").exists()
    rows = json.loads(call("compare-picks", "--budget", "12", "--repeats", "2", "--json"))
    assert {(row["seeds"], row["by"]) for row in rows} == {
        (n, by) for n in (1, 2, 3) for by in ("pooled", "accuracy", "mean", "single")
    }
    refused = CliRunner().invoke(app, ["table", "cifar"])
    assert isinstance(refused.exception, InputError)
    assert "there is no table 'cifar'" in str(refused.exception)
