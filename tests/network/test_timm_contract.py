"""What the package relies on in timm beyond its documented interface; a failure here names what a new timm broke."""

import pytest
import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from timm.models import adapt_input_conv
from torch import nn

from chattn_nas.errors import BackboneError
from chattn_nas.network import _timm


def meta(name, **options):
    return timm.create_model(name, device="meta", num_classes=10, **options)


@pytest.mark.parametrize(
    ("model", "block", "slot", "held"),
    [
        ("resnet10t", "layer1.0", "se", False),
        ("seresnet18", "layer1.0", "se", True),
        ("regnetx_002", "s1.b1", "se", False),
        ("test_byobnet", "stages.0.0", "attn_last", False),
        ("efficientnet_b0", "blocks.1.0", "se", True),
        ("test_nfnet", "stages.0.0", "attn_last", True),
        ("cspresnet50", "stages.0.blocks.0", "attn3", False),
        ("ese_vovnet19b_slim", "stages.0.blocks.0", "attn", True),
        ("convnext_atto", "stages.0.blocks.0", "drop_path", False),
        ("poolformer_s12", "stages.0.blocks.0", "drop_path2", False),
    ],
)
def test_slots_are_called_what_we_think(model, block, slot, held):
    found = [(name, is_held) for _, name, is_held in _timm.slots_of(meta(model).get_submodule(block))]
    assert (slot, held) in found, f"{model}: {block} has {found}"


def test_nfnet_multiplies_behind_its_slot():
    assert _timm.gain(meta("test_nfnet").stages[0][0]) == 2.0
    assert _timm.gain(meta("resnet10t").layer1[0]) is None


def test_stages_are_told_with_their_channels():
    told = _timm.feature_info(meta("resnet10t"))
    assert [entry["module"] for entry in told] == ["act1", "layer1", "layer2", "layer3", "layer4"]
    assert [entry["num_chs"] for entry in told] == [64, 64, 128, 256, 512]
    assert _timm.is_stem("act1")
    assert _timm.feature_info(nn.Linear(2, 2)) == []


def test_mambaout_says_that_its_maps_are_channels_last():
    assert _timm.says_channels_last(meta("mambaout_femto"))
    assert not _timm.says_channels_last(meta("resnet10t"))


def test_loads_are_noted_with_what_timm_only_logs():
    state = timm.create_model("test_resnet", num_classes=3).state_dict()
    del state["conv1.0.weight"]
    overlay = {"state_dict": dict(state), "num_classes": 3}
    load = nn.Module.load_state_dict
    with _timm.noting_loads() as loads:
        timm.create_model("test_resnet", pretrained=True, num_classes=7, pretrained_cfg_overlay=overlay)
    assert "conv1.0.weight" in loads[-1].missing
    assert nn.Module.load_state_dict is load


def test_a_configuration_names_classifier_first_convolution_and_size():
    config = _timm.config_of(meta("resnet10t"))
    assert (config["classifier"], config["first_conv"]) == ("fc", "conv1.0")
    assert _timm.input_size("test_resnet") == 160
    assert _timm.family_of("resnet10t") == "resnet"
    assert _timm.family_of("local-dir:somewhere") == ""


def test_first_convolutions_are_adapted_to_other_channels():
    weight = torch.randn(4, 3, 3, 3)
    torch.testing.assert_close(_timm.adapt_input(1, weight), weight.sum(1, keepdim=True))
    assert adapt_input_conv(4, weight).shape == (4, 4, 3, 3)


def test_pooling_and_classifier_are_called_what_we_think():
    assert _timm.pooling_and_classifier(meta("resnet10t")) == ("global_pool", "fc", 512)
    assert _timm.pooling_and_classifier(meta("test_byobnet")) == ("head.global_pool", "head.fc", 256)
    assert _timm.pooling_and_classifier(nn.Linear(2, 2)) is None


def test_maps_are_counted_as_timm_counts_them():
    network = meta("resnet10t")
    assert _timm.gives_intermediates(network)
    assert _timm.prune(network, [1, 2]) == [1, 2]
    assert not list(network.layer4.parameters())
    assert not list(network.fc.parameters())


def test_folders_as_timm_takes_them(tmp_path):
    """``local-dir:`` with a configuration and weights, as ``timm.models.push_to_hf_hub`` writes them."""
    from chattn_nas.network import build_network
    from chattn_nas.space import Architecture

    torch.manual_seed(1)
    saved = timm.create_model("test_resnet", num_classes=7)
    timm.models.save_for_hf(saved, tmp_path, model_config={"num_classes": 7})
    name = f"local-dir:{tmp_path}"
    network = build_network(Architecture.uniform(name, "se"), num_classes=4, image_size=64, pretrained=True)
    assert torch.equal(network.layer1[0].conv1.weight, saved.layer1[0].conv1.weight)
    assert "the classifier starts anew" in str(network.loaded)
    assert network.loaded.matched == network.loaded.expected


def test_the_hub_is_said_to_be_asked_and_blamed_for_no_option(monkeypatch, caplog) -> None:
    def no_network(*_, **__):
        raise LocalEntryNotFoundError("An error happened while trying to locate the file on the Hub.")

    monkeypatch.setattr(timm, "create_model", no_network)
    name = "hf-hub:somebody/some-model"
    _timm.check_name(name)
    assert "Asking https://huggingface.co about somebody/some-model; without a network" in caplog.text
    with pytest.raises(BackboneError, match=f"{name} cannot be fetched: An error happened") as caught:
        _timm.create(name)
    assert caught.value.where == ("model",)
