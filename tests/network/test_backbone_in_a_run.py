"""What a run does with its backbone: checked before anything is spent, and what its weights are is said everywhere."""

import logging
import sys
from pathlib import Path

import pytest
import torch

from chattn_nas import api
from chattn_nas.errors import BackboneError, InputError
from chattn_nas.network import build_network
from chattn_nas.report.facts import gather
from chattn_nas.search.same import plugins
from chattn_nas.space import Architecture
from chattn_nas.spec import Spec


def spec_with(backbone, space=("none", "eca"), **search):
    return Spec.model_validate(
        {
            "name": "backbones",
            "backbone": backbone,
            "data": {"dataset": "digits", "image_size": 8, "train_limit": 128},
            "space": {"all": list(space)},
            "proxy": {"rungs": [1], "batch_size": 64, "device": "cpu"},
            "search": {"trials": 2, "sampler": "random", "workers": 0} | search,
        }
    )


def test_what_was_loaded_stands_in_study_report_and_card(tmp_path):
    options = {"width": 8}
    torch.manual_seed(1)
    saved = build_network(
        Architecture.uniform({"model": "cifar_resnet8", "options": options}, "none"), in_chans=1, image_size=8
    )
    path = tmp_path / "mine.ckpt"
    torch.save({"state_dict": {f"model.{name}": value for name, value in saved.state_dict().items()}}, path)
    spec = spec_with({"model": "cifar_resnet8", "options": options, "weights": str(path)})
    run = api.search(spec, run=tmp_path / "run", trials=3, workers=0, progress=False)
    said = run.study.user_attrs["loaded_weights"]
    assert said.startswith("mine.ckpt: ")
    assert "prefix 'model.' taken off" in said
    assert ("backbone's weights", said) in gather(run.study).reproduction()
    assert run.best().card().loaded_weights == said


def test_weights_that_fit_nothing_stop_a_search_before_its_trials(tmp_path):
    path = tmp_path / "other.pth"
    torch.save(torch.nn.Linear(3, 3).state_dict(), path)
    spec = spec_with({"model": "cifar_resnet8", "weights": str(path)})
    with pytest.raises(InputError, match=r"other\.pth do not fit cifar_resnet8: 0 of its") as caught:
        api.search(spec, run=tmp_path / "run", workers=0, progress=False)
    assert caught.value.where[:2] == ("backbone", "weights")
    assert not (tmp_path / "run").exists(), "nothing was spent"


def test_the_share_of_blocks_with_a_slot_is_said_at_the_start(tmp_path, caplog, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    spec = spec_with({"model": "own_backbones:made_of_numbers"})
    with caplog.at_level(logging.WARNING):
        api.search(spec, run=tmp_path / "run", trials=2, workers=0, progress=False)
    assert "own_backbones:made_of_numbers: none of its blocks" in caplog.text
    assert "stages 1, 2: behind the whole stage" in caplog.text
    sys.modules.pop("own_backbones", None)


def test_an_attention_that_would_not_learn_is_found_before_the_search(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(BackboneError, match="no gradient reaches 3 of 3 attentions in the first step") as caught:
        api.search(spec_with({"model": "own_backbones:dead"}), run=tmp_path / "run", workers=0, progress=False)
    assert caught.value.where[0] == "backbone"
    assert not (tmp_path / "run").exists()
    sys.modules.pop("own_backbones", None)


def test_a_backbone_that_is_attended_everywhere_can_be_kept_and_searched_for_none_only():
    kept = {"model": "seresnet18", "existing": "keep"}
    assert spec_with(kept, ["none"]).search_space().size == 1
    with pytest.raises(InputError, match="every slot of seresnet18 holds an attention already") as caught:
        spec_with(kept).search_space()
    assert caught.value.where == ("backbone", "existing")


def test_the_code_of_ones_own_backbone_and_the_content_of_its_weights_make_trials_comparable(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_net_of_today.py").write_text((Path(__file__).parent / "own_backbones.py").read_text())
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"one")
    spec = spec_with({"model": "my_net_of_today:small", "weights": str(weights)}, ["none"])
    before = plugins(spec)
    assert set(before) == {"my_net_of_today:small", str(weights)}
    weights.write_bytes(b"two")
    with (tmp_path / "my_net_of_today.py").open("a") as file:
        file.write("\n# a comment changes nothing\n")
    after = plugins(spec)
    assert after["my_net_of_today:small"] == before["my_net_of_today:small"]
    assert after[str(weights)] != before[str(weights)]
    sys.modules.pop("my_net_of_today", None)
