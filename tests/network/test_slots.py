import json

import pytest
import torch
from typer.testing import CliRunner

from chattn_nas import Architecture, build_network
from chattn_nas.cli import app
from chattn_nas.errors import BackboneError
from chattn_nas.network import stages
from chattn_nas.network.surgery import ChannelsLast, Rescaled
from chattn_nas.network.survey import check, survey
from chattn_nas.space import Backbone

#: A model of each kind of slot and each quirk, and what is expected of it.
MODELS = {
    "cifar_resnet8": ("native", (1, 1, 1)),
    "resnet10t": ("native", (1, 1, 1, 1)),
    "mobilenetv3_small_050": ("native", (1, 2, 5, 3)),
    "test_nfnet": ("native", None),
    "test_convnext": ("branch", None),
    "starnet_s1": ("branch", None),
    "mambaout_femto": ("branch", None),
    "hrnet_w18_small": ("native", None),
    "densenet121": ("stage", (1, 1, 1, 1)),
}


@pytest.mark.parametrize("model", MODELS)
def test_every_slot_is_used_and_learns(model):
    found = survey(model)
    kind, slots = MODELS[model]
    assert found.kinds == (kind,)
    if slots is not None:
        assert found.slots == slots
    check(found)


def test_sizes_come_from_a_forward_not_from_dividing():
    """resnet10t at 30 pixels: 30, 15, 8, 4, 2, 1: each half rounded up."""
    shapes = [stage.places["before_add"][0].feature_size for stage in stages(Backbone("resnet10t"), image_size=30)]
    assert shapes == [(8, 8), (4, 4), (2, 2), (1, 1)]
    shapes = [s.places["before_add"][0].feature_size for s in stages(Backbone("resnet10t"), image_size=(64, 96))]
    assert shapes == [(16, 24), (8, 12), (4, 6), (2, 3)]


def test_a_held_attention_is_replaced_or_kept():
    held = [name for name, _ in _se(build(Backbone("mobilenetv3_small_050", existing="keep"), "eca")) if "se" in name]
    assert len(held) == 9, "as many as timm builds"
    replaced = build(Backbone("mobilenetv3_small_050"), "eca")
    assert not _se(replaced)
    assert sum(type(module).__name__ == "ECA" for module in replaced.modules()) == 11
    bare = build(Backbone("mobilenetv3_small_050"), "none")
    assert not _se(bare), "none takes the existing attention out, too"
    with pytest.raises(BackboneError, match="every slot of seresnet18 holds an attention already"):
        build(Backbone("seresnet18", existing="keep"), "eca")


def build(backbone, kind):
    return build_network(Architecture.uniform(backbone, kind), image_size=64, seed=0)


def _se(network):
    return [(name, m) for name, m in network.named_modules() if type(m).__name__ in ("SqueezeExcite", "SEModule")]


def test_nfnet_and_channels_last_models_get_what_they_need():
    assert any(isinstance(module, Rescaled) for module in build(Backbone("test_nfnet"), "se").modules())
    assert any(isinstance(module, ChannelsLast) for module in build(Backbone("mambaout_femto"), "se").modules())


@pytest.mark.parametrize("placement", ["before_add", "before_block", "after_add", "before_convs"])
@pytest.mark.parametrize("model", ["cifar_resnet14", "resnet26d", "mobilenetv3_small_050", "convnext_atto"])
def test_every_placement_works_where_it_is_offered(model, placement):
    offered = all(placement in stage.places for stage in stages(Backbone(model), image_size=64))
    assert offered
    for blocks in ("all", "last", "alternate"):
        network = build_network(
            Architecture.uniform(model, "eca", placement=placement, blocks=blocks), image_size=64, seed=0
        )
        network(torch.randn(2, 3, 64, 64)).square().mean().backward()
        probes = [module for module in network.modules() if type(module).__name__ == "ECA"]
        assert probes
        assert all(module.conv.weight.grad is not None and module.conv.weight.grad.any() for module in probes)


def test_the_first_step_moves_every_attention():
    """timm zeroes the last norm of each branch; then no attention behind it would have a gradient."""
    network = build_network(Architecture.uniform("resnet18", "se"), image_size=64, seed=0)
    network(torch.randn(4, 3, 64, 64)).square().mean().backward()
    modules = [module for module in network.modules() if type(module).__name__ == "SE"]
    assert len(modules) == 8
    assert all(module.reduce.weight.grad.any() and module.expand.weight.grad.any() for module in modules)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("vit_tiny_patch16_224", "no convolutional network"),
        ("resnet81", "timm has no model 'resnet81'; did you mean 'resnet"),
        ("davit_tiny", "davit_tiny"),
    ],
)
def test_what_cannot_take_attention_is_refused_in_a_sentence(model, words):
    with pytest.raises(BackboneError, match=words) as caught:
        check(survey(model))
    assert "\n" not in str(caught.value)


def test_the_command_lists_and_tries_models():
    done = CliRunner().invoke(app, ["backbones", "cifar_resnet[28]*", "--check", "--json"])
    assert done.exit_code == 0, done.output
    rows = {row["model"]: row for row in json.loads(done.stdout)}
    assert rows["cifar_resnet20"]["slots"] == [3, 3, 3]
    assert rows["cifar_resnet20"]["channels"] == ["16", "32", "64"]
    assert {row["result"] for row in rows.values()} == {"runs"}
    listed = CliRunner().invoke(app, ["backbones", "cifar_resnet8"])
    assert "1 of 1 models can take attention" in listed.stdout
    assert "16 32 64" in listed.stdout
    done = CliRunner().invoke(app, ["backbones", "resnett50"])
    assert isinstance(done.exception, BackboneError)
    assert "did you mean 'resnet50'" in str(done.exception)
