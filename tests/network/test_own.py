"""Backbones by path: stages told or found, blocks found as timm's, and refused in a sentence where they do not fit."""

import copy
import sys
from pathlib import Path

import pytest
import torch

from chattn_nas.errors import BackboneError
from chattn_nas.network import build_network, feature_extractor, stages
from chattn_nas.network.survey import check_backbone
from chattn_nas.parts import is_path
from chattn_nas.space import Architecture, Backbone, StageChoice


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


def test_a_reentrant_checkpoint_hides_no_place():
    found, plain = (stages(Backbone(f"own_backbones:{name}"), image_size=16) for name in ("checkpointed", "small"))
    assert [stage.to_dict() for stage in found] == [stage.to_dict() for stage in plain]
    check_backbone(Backbone("own_backbones:checkpointed"), image_size=16)
    network = build_network(Architecture.uniform("own_backbones:checkpointed", "eca"), image_size=16, seed=0)
    assert feature_extractor(network, image_size=16).maps


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


@pytest.mark.parametrize(
    ("told", "words", "index"),
    [
        (["layer1", "layer1"], "the stage 'layer1' is named twice", 1),
        (["stem", "layer1"], "the stage 'stem' has no place for attention: it is the stem", 0),
        (["layer1.0.conv2", "layer1"], "the stage 'layer1.0.conv2' has no place for attention: blocks around it", 0),
    ],
)
def test_a_stage_that_was_told_is_never_left_out_silently(told, words, index):
    with pytest.raises(BackboneError, match=words) as caught:
        stages(Backbone("own_backbones:small", stages=told), image_size=16)
    assert caught.value.where == ("stages", index)


def test_a_block_belongs_to_the_stage_around_it_whatever_the_order():
    found = stages(Backbone("own_backbones:small", stages=["layer2", "layer1"]), image_size=16)
    assert [(stage.name, stage.blocks) for stage in found] == [("layer2", 1), ("layer1", 2)]


def test_stages_of_maps_with_the_channels_last_are_found():
    found = stages(Backbone("own_backbones:channels_last"), image_size=16)
    assert [(stage.name, stage.kind, stage.blocks) for stage in found] == [
        ("layer1", "branch", 2), ("layer2", "branch", 1)
    ]  # fmt: skip


@pytest.mark.parametrize("held", [True, False])
def test_a_slot_for_a_gate_alone_is_none(held):
    backbone = Backbone("own_backbones:gates_alone", {"held": held})
    assert [stage.kind for stage in stages(backbone, image_size=16)] == ["stage", "stage"]
    identity = Architecture.uniform(backbone, "se", reduction=2)
    images = torch.randn(2, 3, 16, 16)
    bare = build_network(Architecture.uniform(backbone, "none"), image_size=16, seed=0)
    assert torch.equal(build_network(identity, image_size=16, seed=0, identity_init=True)(images), bare(images))


def test_a_network_that_gives_more_than_logits_in_training_is_refused():
    with pytest.raises(BackboneError, match="in training it gives a tuple, not logits"):
        check_backbone(Backbone("own_backbones:auxiliary"), image_size=16)


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


@pytest.mark.parametrize("model", ["own_backbones:reads_rates", "torchvision.models:regnet_y_400mf"])
def test_values_may_be_read_while_a_network_is_built(model):
    backbone = Backbone(model)
    assert stages(backbone, image_size=64)
    assert not any(one.is_meta for one in build_network(Architecture.uniform(backbone, "none"), seed=0).parameters())


def test_keywords_that_a_function_hands_on_need_not_hold_the_images_channels():
    found = stages(Backbone("torchvision.models:resnet18"), image_size=64)
    assert [stage.name for stage in found] == ["layer1", "layer2", "layer3", "layer4"]
    with pytest.raises(BackboneError, match="resnet18 cannot take 64x64 images of 1 channel: "):
        stages(Backbone("torchvision.models:resnet18"), in_chans=1, image_size=64)
    with pytest.raises(BackboneError, match="unexpected keyword argument 'wdth'"):
        stages(Backbone("torchvision.models:resnet18", {"wdth": 3}), image_size=64)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nowhere_at_all:net", "'nowhere_at_all:net' cannot be imported as a backbone"),
        ("own_backbones:smal", "no 'smal' that could be a backbone; did you mean 'small'"),
        ("own_backbones:no_module", "returns Tensor, not an nn.Module"),
        ("own_backbones:three_logits", r"is no classifier: for 2 images and 10 classes it gives \(2, 3\)"),
        ("own_backbones:functional", "has no module nn.Conv2d"),
        ("own_backbones:scripted", "it is TorchScript"),
        ("own_backbones:patched", "it has a forward of its own instance"),
        ("own_backbones:lazy", "its module 0 is lazy"),
        ("own_backbones:halved", "its module stem has parameters of torch.bfloat16"),
        ("own_backbones:keeps", "keeps a tensor of its forward pass in kept"),
        ("own_backbones:collects", "keeps a tensor of its forward pass in features"),
        ("own_backbones:makes_later", "makes its module head in forward"),
        ("own_backbones:again", "no place for channel attention: it is called several times for one image"),
        ("own_backbones:branches", "name them in backbone.stages"),
    ],
)
def test_what_does_not_fit_is_refused(model, words):
    with pytest.raises(BackboneError, match=words) as caught:
        stages(Backbone(model), image_size=16)
    assert caught.value.where == ("model",)


@pytest.mark.parametrize("by", ["if", "mask", "numpy"])
def test_a_forward_that_reads_values_is_refused_in_our_words(by):
    with pytest.raises(BackboneError, match="reads values of its maps in forward"):
        stages(Backbone("own_backbones:decides", {"by": by}), image_size=16)


def test_a_convolution_that_gives_classes_is_no_stage():
    found = stages(Backbone("own_backbones:all_convolutional"), image_size=16)
    assert [(stage.name, stage.places["before_add"][0].channels) for stage in found] == [("one", 8), ("two", 16)]
    with pytest.raises(BackboneError, match="no layer comes behind it, so its channels are the classes"):
        stages(Backbone("own_backbones:all_convolutional", stages=["one", "classifier"]), image_size=16)


def test_slots_are_found_in_frozen_layers_which_stay_frozen():
    found = stages(Backbone("own_backbones:frozen"), image_size=16)
    assert [(stage.name, stage.kind, stage.blocks) for stage in found] == [
        ("layer1", "branch", 2), ("layer2", "branch", 1)
    ]  # fmt: skip
    network = build_network(Architecture.uniform("own_backbones:frozen", "eca"), image_size=16, seed=0)
    assert not network.stem.weight.requires_grad


def test_an_option_that_the_function_does_not_take_is_named():
    with pytest.raises(BackboneError, match="unexpected keyword argument 'depth'") as caught:
        stages(Backbone("own_backbones:small", {"depth": 3}), image_size=16)
    assert caught.value.where == ("options",)


def test_a_network_may_read_attributes_of_blocks_that_have_attention_around_them():
    backbone = Backbone("own_backbones:reads", stages=("layer1.1", "layer2.0"))
    for placement in ("before_block", "after_add"):
        choice = StageChoice("eca", placement=placement)
        network = build_network(Architecture(backbone, (choice, choice)), num_classes=5, image_size=16, seed=0)
        copied = copy.deepcopy(network)
        network(torch.randn(2, 3, 16, 16)).square().mean().backward()
        gates = [module for module in network.modules() if type(module).__name__ == "ECA"]
        assert len(gates) == 3
        assert all(gate.conv.weight.grad.any() for gate in gates)
        assert network.layer1[1].factor == copied.layer1[1].factor == 2
        assert not hasattr(network.layer1[1], "something_else")
        assert "layer1.1.0.conv1.weight" in network.state_dict() or "layer1.1.1.conv1.weight" in network.state_dict()


def test_a_place_whose_attention_would_never_be_called_is_not_offered():
    for stage in stages(Backbone("own_backbones:lists"), image_size=16):
        assert set(stage.places) == {"before_add", "before_block", "after_add"}


def test_a_stage_that_is_told_but_not_called_has_its_reason():
    with pytest.raises(BackboneError, match="calls modules in it, not itself: name the last of those"):
        stages(Backbone("own_backbones:told_blocks", stages=("layer1", "down")), image_size=16)


def test_a_module_that_takes_two_maps_is_no_stage_but_the_one_in_it_is():
    found = stages(Backbone("own_backbones:unet"), image_size=16)
    assert [stage.name for stage in found] == ["up2.conv"]
    check_backbone(Backbone("own_backbones:unet"), image_size=16)
    for told in ("up1", "up2"):  # one is called with a name
        with pytest.raises(BackboneError, match="it takes more than one map: name the last module in it that takes"):
            stages(Backbone("own_backbones:unet", stages=["down1", told]), image_size=16)
    with pytest.raises(BackboneError, match="tokens come there, not maps"):  # its blocks take their size, too
        stages(Backbone("xcit_nano_12_p8_224"))
