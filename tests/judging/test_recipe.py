"""The recipe of the bare backbone."""

import json
from dataclasses import replace

import pytest

from chattn_nas.errors import InputError, RunError
from chattn_nas.judging import candidates, of_spec, recipe, tune_recipe
from chattn_nas.spec import Spec
from chattn_nas.study.record import records
from chattn_nas.unit import Unit

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
SPEC = Spec.model_validate(
    {
        "name": "tiny",
        "backbone": {"model": "cifar_resnet8", "options": {"width": 4}},
        "data": {"dataset": "digits", "image_size": 8, "train_limit": 128},
        "space": {"all": ["none", "se"]},
        "proxy": {"rungs": [1], "batch_size": 64, "learning_rate": 0.05},
    }
)


def test_what_is_tried_and_what_is_best(tmp_path):
    found = tune_recipe(SPEC, run=tmp_path / "recipe", seeds=1, workers=0, progress=False)
    assert [one.learning_rate for one in found.tried[:4]] == [0.05, 0.025, 0.1, 0.2]
    assert {one.branch_scale for one in found.tried} == {0.5, 1.0, 2.0}
    assert {one.warmup for one in found.tried} == {0.05, 0.2}
    assert len(found.tried) == 4 + 2 + 1
    assert all(one.seeds == 1 and 0 <= one.accuracy <= 1 for one in found.tried)
    assert found.best.loss == min(one.loss for one in found.tried)
    assert f"learning rate {found.best.learning_rate:g}" in found.words
    assert "the lowest of 7 recipes with 1 training each" in found.words, "the luck of the lowest is named"
    if found.best is not found.own:
        assert found.spec_lines.startswith("proxy:\n")
    json.dumps(found.to_dict())
    again = tune_recipe(SPEC, run=tmp_path / "recipe", seeds=1, workers=0, progress=False)
    assert again == found, "nothing was trained again"
    with pytest.raises(InputError, match="at least 1, not 0"):
        tune_recipe(SPEC, seeds=0)


def test_a_recipe_under_which_a_training_failed_is_not_the_best(tmp_path, monkeypatch):
    """The seeds on which it went well were compared with all seeds of the others."""

    def with_a_failure(study):
        found = records(study)
        if "learningrate0.1-" in study.study_name:
            found[-1] = replace(found[-1], outcome="diverged")
        return found

    for name in ("BRANCH_SCALES", "WARMUPS"):
        monkeypatch.setattr(recipe, name, ())
    monkeypatch.setattr(recipe, "RATES", (1.0, 2.0))
    monkeypatch.setattr(recipe, "records", with_a_failure)
    found = tune_recipe(SPEC, run=tmp_path / "recipe", seeds=2, workers=0, progress=False)
    failed = next(one for one in found.tried if one.learning_rate == 0.1)
    assert (failed.seeds, failed.loss) == (1, float("inf"))
    assert found.best is not failed
    decibels = replace(found, unit=Unit(name="psnr", title="PSNR", unit="dB", difference="dB", scale=1.0))
    assert {"PSNR dB", "loss"} <= set(decibels.rows()[0])
    assert "%" not in decibels.words
    hot = SPEC.model_copy(update={"proxy": SPEC.proxy.model_copy(update={"learning_rate": 1e5})})
    monkeypatch.setattr(recipe, "records", records)
    with pytest.raises(RunError, match="under none of these recipes"):
        tune_recipe(hot, run=tmp_path / "hot", seeds=1, workers=0, progress=False)


def test_starts_are_fidelities():
    own = of_spec(SPEC, 100)
    found = candidates(own, starts=["unit", "official"])
    assert {one.start for one in found} == {"unit", "official"}
    official = next(one for one in found if one.start == "official")
    assert official.applied(SPEC).proxy.start == "official"
    assert official.spec_lines(own) == {"proxy": {"start": "official"}}
    assert str(official).endswith(", official start")
    assert official.name != own.name
    with pytest.raises(InputError, match="no start 'offical'; did you mean 'official'"):
        candidates(own, starts=["offical"])
