"""Backbones by path: stages told or found, blocks found as timm's, and refused in a sentence where they do not fit."""

import sys
from pathlib import Path

import pytest
import torch

from chattn_nas.errors import BackboneError
from chattn_nas.network import build_network, stages
from chattn_nas.network.survey import check_backbone
from chattn_nas.parts import is_path
from chattn_nas.space import Architecture, Backbone


@pytest.fixture(autouse=True)
def folder_on_path(monkeypatch):
    """As a spec's folder is."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield
    sys.modules.pop("own_backbones", None)


def test_names_that_are_paths():
    assert is_path("module:function")
    assert not any(map(is_path, ("resnet18", "hf_hub:timm/resnet18.a1_in1k", "hf-hub:a/b", "local-dir:/tmp/x")))


def test_stages_are_found_where_the_map_shrinks_and_blocks_as_in_timm():
    found = stages(Backbone("own_backbones:small"), image_size=16)
    assert [(stage.name, stage.kind, stage.blocks) for stage in found] == [
        ("layer1", "branch", 2), ("layer2", "branch", 1)
    ]  # fmt: skip
    assert found[1].places["before_add"][0].channels == 16
    assert found[1].places["before_add"][0].feature_size == (8, 8)
    assert {"before_block", "after_add", "before_convs"} <= set(found[0].places)


def test_every_attention_learns_and_options_reach_the_function():
    backbone = Backbone("own_backbones:small", {"width": 4})
    check_backbone(backbone, image_size=16)
    network = build_network(Architecture.uniform(backbone, "se", reduction=2), image_size=16, num_classes=3, seed=0)
    assert network(torch.randn(2, 3, 16, 16)).shape == (2, 3)
    assert network.layer2[0].drop_path.reduce.weight.shape[1] == 8


def test_stages_may_be_told():
    found = stages(Backbone("own_backbones:small", stages=["layer2"]), image_size=16)
    assert [(stage.name, stage.blocks) for stage in found] == [("layer2", 3)], "blocks before it are its own"
    with pytest.raises(BackboneError, match=r"no module 'layer3'; did you mean 'layer[12]'") as caught:
        stages(Backbone("own_backbones:small", stages=["layer1", "layer3"]), image_size=16)
    assert caught.value.where == ("stages", 1)


def test_stages_that_the_module_tells_itself_are_taken():
    found = stages(Backbone("own_backbones:tells"), image_size=16)
    assert [(stage.name, stage.blocks) for stage in found] == [("layer2", 3)]


def test_a_plain_sequential_takes_attention_behind_its_stages():
    found = stages(Backbone("own_backbones:made_of_numbers"), image_size=16)
    assert [stage.kind for stage in found] == ["stage", "stage"]
    assert [stage.places["before_add"][0].channels for stage in found] == [8, 16]
    check_backbone(Backbone("own_backbones:made_of_numbers"), image_size=16)


def test_torchvision_s_resnet_has_four_stages():
    found = stages(Backbone("own_backbones:torchvision_resnet18"), image_size=64)
    assert [stage.name for stage in found] == ["layer1", "layer2", "layer3", "layer4"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nowhere_at_all:net", "'nowhere_at_all:net' cannot be imported as a backbone"),
        ("own_backbones:smal", "no 'smal' that could be a backbone; did you mean 'small'"),
        ("own_backbones:no_module", "returns Tensor, not an nn.Module"),
        ("own_backbones:three_logits", r"is no classifier: for 2 images and 10 classes it gives \(2, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(model, words):
    with pytest.raises(BackboneError, match=words) as caught:
        stages(Backbone(model), image_size=16)
    assert caught.value.where == ("model",)


def test_an_option_that_the_function_does_not_take_is_named():
    with pytest.raises(BackboneError, match="unexpected keyword argument 'depth'") as caught:
        stages(Backbone("own_backbones:small", {"depth": 3}), image_size=16)
    assert caught.value.where == ("options",)
