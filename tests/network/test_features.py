"""A network with its attention placed as a source of maps: channels and strides as measured, nothing idle."""

import copy
import sys
from pathlib import Path

import pytest
import torch

from chattn_nas.errors import BackboneError
from chattn_nas.network import build_network
from chattn_nas.network.features import feature_extractor
from chattn_nas.space import Architecture


def extractor(model, size=64, kind="eca", placement=None, **wanted):
    settings = {"placement": placement} if placement else {}
    network = build_network(Architecture.uniform(model, kind, **settings), image_size=size, seed=0)
    return feature_extractor(network, image_size=size, **wanted)


@pytest.mark.parametrize(
    ("model", "kind", "placement"),
    [
        ("cifar_resnet8", "se", None),
        ("resnet10t", "se", None),
        ("resnet10t", "eca", "before_convs"),
        ("resnet26d", "dia", None),
        ("mobilenetv3_small_050", "eca", None),
        ("convnext_atto", "eca", "after_add"),
        ("mambaout_femto", "eca", None),
        ("densenet121", "eca", None),
        ("vgg11_bn", "eca", None),
        ("test_nfnet", "eca", None),
    ],
)
def test_maps_are_as_told_and_every_attention_learns(model, kind, placement):
    found = extractor(model, kind=kind, placement=placement)
    assert not found.left_out
    maps = found(torch.randn(2, 3, 64, 64))
    assert [(one.shape[1], tuple(one.shape[2:])) for one in maps] == [(m.channels, m.size) for m in found.maps]
    assert [m.stride for m in found.maps] == [64 // m.size[0] for m in found.maps]
    sum(one.square().mean() for one in maps).backward()
    names = [slot.path for slot in found.body.attention_slots]
    assert names
    for name in names:
        assert all(p.grad is not None and p.grad.isfinite().all() for p in found.body.get_submodule(name).parameters())
    idle = [name for name, p in found.named_parameters() if p.grad is None]
    assert not idle


def test_what_comes_behind_the_last_map_is_taken_off():
    everything = build_network(Architecture.uniform("mobilenetv3_small_050", "eca"), image_size=64, seed=0)
    whole = sum(p.numel() for p in everything.parameters())
    found = extractor("mobilenetv3_small_050")
    assert sum(p.numel() for p in found.parameters()) < 0.5 * whole
    shallow = extractor("resnet10t", strides=(4, 8))
    assert [m.stride for m in shallow.maps] == [4, 8]
    assert {name.split(".")[1] for name in shallow.left_out} <= set("0"), shallow.left_out
    assert not any(name.startswith("body.layer4") for name, _ in shallow.named_parameters())


def test_an_attention_behind_the_last_map_is_left_out_and_said(caplog):
    found = extractor("fastvit_t8")
    assert found.left_out
    assert "no map depends on the attention in" in caplog.text
    assert not any(
        "left" in name or name.startswith(f"body.{found.left_out[0]}.") for name, _ in found.named_parameters()
    )
    deep = extractor("cifar_resnet8", 16, strides=(1, 2))
    assert list(deep.left_out) == ["layer3.0.se"]


def test_maps_are_those_of_the_network_itself():
    network = build_network(Architecture.uniform("cifar_resnet8", "se"), image_size=16, seed=0).eval()
    images = torch.randn(2, 3, 16, 16)
    seen = []
    for stage in (network.layer1, network.layer2, network.layer3):
        stage.register_forward_hook(lambda _module, _args, output: seen.append(output))
    network(images)
    for stage in (network.layer1, network.layer2, network.layer3):
        stage._forward_hooks.clear()
    maps = feature_extractor(network, image_size=16, indices=(1, 2, 3))(images)
    assert all(torch.equal(one, other) for one, other in zip(maps, seen, strict=True))


def test_it_is_copied_and_exported():
    found = extractor("cifar_resnet8", 16).eval()
    images = torch.randn(2, 3, 16, 16)
    wanted = found(images)
    assert all(torch.equal(a, b) for a, b in zip(copy.deepcopy(found)(images), wanted, strict=True))
    program = torch.export.export(found, (images,)).module()
    for one, other in zip(program(images), wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_of_a_network_of_fine_maps_alone_the_coarsest_is_taken_and_told(caplog):
    """A spec by ``init --task detection --backbone cifar_resnet8`` was refused by ``plan``."""
    assert [one.stride for one in extractor("cifar_resnet8", 16, finest=8).maps] == [4]
    assert "cifar_resnet8 gives no map of stride 8 or more: that of stride 4 is taken" in caplog.text


def test_strides_and_indices_that_are_not_there_are_refused():
    with pytest.raises(BackboneError, match=r"cifar_resnet8 gives no map of stride 8; possible: 1, 2, 4"):
        extractor("cifar_resnet8", 16, strides=(8,))
    with pytest.raises(BackboneError, match="gives no map 7"):
        extractor("cifar_resnet8", 16, indices=(7,))


def test_a_backbone_of_ones_own_without_the_method_gives_its_stages(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    found = extractor("own_backbones:small", 16)
    assert [(m.channels, m.stride) for m in found.maps] == [(8, 1), (16, 2)]
    assert not found.left_out
    sys.modules.pop("own_backbones", None)
