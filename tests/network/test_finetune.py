from types import SimpleNamespace

import pytest
import timm
import torch
from safetensors.torch import save_file

from chattn_nas import Architecture, build_network
from chattn_nas.errors import BackboneError
from chattn_nas.network.finetune import parts_of
from chattn_nas.proxy import ProxySettings
from chattn_nas.proxy.mode import train_mode
from chattn_nas.proxy.optimizer import build_optimizer

#: Some of whose slots hold an attention that the pretrained weights belong to.
HOLD_ATTENTION = {"mobilenetv3_small_050"}


@pytest.mark.parametrize("model", ["resnet10t", "convnext_atto", "mobilenetv3_small_050", "nf_resnet26", "densenet121"])
def test_identity_start_gives_the_pretrained_logits_exactly(tmp_path, model):
    """A checkpoint of random weights with another number of classes, as timm writes it; loaded before surgery."""
    torch.manual_seed(5)
    saved = timm.create_model(model, num_classes=7)
    saved.eval()(torch.randn(2, 3, 64, 64))
    path = tmp_path / "weights.safetensors"
    save_file(saved.state_dict(), path)
    backbone = {"model": model, "existing": "keep" if model in HOLD_ATTENTION else "replace"}
    x = torch.randn(2, 3, 64, 64)
    for kind in ("se", "gct"):
        architecture = Architecture.uniform(backbone, kind, placement="before_add")
        network = build_network(architecture, num_classes=7, image_size=64, weights=path, identity_init=True)
        assert torch.equal(network.eval()(x), saved.eval()(x)), kind


def test_weights_of_other_classes_and_channels_are_adapted_as_timm_does(tmp_path):
    torch.manual_seed(5)
    saved = timm.create_model("resnet10t", num_classes=7)
    path = tmp_path / "weights.safetensors"
    save_file(saved.state_dict(), path)
    network = build_network(
        Architecture.uniform("resnet10t", "none"), num_classes=4, in_chans=1, image_size=64, weights=path
    )
    assert network.fc.weight.shape == (4, 512)
    torch.testing.assert_close(network.conv1[0].weight, saved.conv1[0].weight.sum(1, keepdim=True))
    assert torch.equal(network.layer1[0].conv1.weight, saved.layer1[0].conv1.weight)


def test_a_missing_file_of_weights_is_refused():
    with pytest.raises(BackboneError, match=r"no file of weights 'nowhere\.pth'"):
        build_network(Architecture.uniform("resnet10t", "se"), image_size=64, weights="nowhere.pth")


def trained(network):
    return {name for name, parameter in network.named_parameters() if parameter.requires_grad}


def test_frozen_parts_stay_as_they_are_and_new_attention_learns():
    network = build_network(Architecture.uniform("cifar_resnet8", "se"), image_size=16, seed=0, freeze=["stem", 1])
    names = trained(network)
    assert not any(name.startswith(("conv1", "bn1")) for name in names)
    assert {name for name in names if name.startswith("layer1")} == {
        "layer1.0.se.reduce.weight", "layer1.0.se.expand.weight"
    }  # fmt: skip
    assert any(name.startswith("layer2.0.conv1") for name in names)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = build_optimizer(network, ProxySettings())
    train_mode(network)
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.randn(8, 3, 16, 16)).square().sum().backward()
        optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if name.startswith(("conv1", "bn1"))}, "statistics of frozen norms stay too"
    assert {"layer1.0.se.reduce.weight", "layer2.0.bn1.running_mean", "fc.weight"} <= changed


def test_a_part_that_is_not_there_is_refused():
    with pytest.raises(BackboneError, match="no part 5 to freeze; possible: stem, 1, 2, 3") as caught:
        build_network(Architecture.uniform("cifar_resnet8", "se"), image_size=16, freeze=["stem", 5])
    assert caught.value.where == ("freeze", 1)


def test_rates_fall_towards_the_stem_and_are_full_for_attention_and_head():
    network = build_network(Architecture.uniform("cifar_resnet8", "se"), image_size=16, layer_decay=0.5)
    factors = network.rate_factors
    assert factors["conv1.weight"] == 0.5**4
    assert factors["layer1.0.conv1.weight"] == 0.5**3
    assert factors["layer3.0.conv1.weight"] == 0.5
    assert not {"fc.weight", "layer1.0.se.reduce.weight"} & set(factors)
    optimizer = build_optimizer(network, ProxySettings(learning_rate=0.1, batch_size=128))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in network.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.1 * factors.get(name, 1.0)), name


@pytest.mark.parametrize(
    "model", ["resnet18", "convnext_atto", "efficientnet_b0", "regnetx_002", "vgg11", "densenet121"]
)
def test_every_parameter_is_of_one_part_and_parts_follow_each_other(model):
    network = build_network(Architecture.uniform(model, "none"), image_size=64, layer_decay=0.5)
    factors = [network.rate_factors.get(name, 1.0) for name, _ in network.named_parameters()]
    assert len(set(factors)) >= 4
    assert factors[0] == min(factors), "the first layer is of the stem, or of the first stage"
    assert factors[-1] == 1.0, "the classifier"


def test_a_module_counts_for_the_innermost_stage_around_it():
    """As its attention does, where a user names a stage inside another."""
    model = timm.create_model("resnet18")
    block = SimpleNamespace(path="layer4.0")
    names = ("layer4", "layer4.1")
    plan = SimpleNamespace(stages=[SimpleNamespace(name=name) for name in names], blocks=[[block]])
    parts = parts_of(model, plan)
    inner, outer = {id(one) for one in parts[2]}, {id(one) for one in parts[1]}
    assert {id(one) for one in model.layer4[1].parameters()} == inner
    assert {id(one) for one in model.layer4[0].parameters()} <= outer
