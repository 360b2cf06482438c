import json
import re

import pytest
import torch
from typer.testing import CliRunner

from chattn_nas import Architecture, build_network
from chattn_nas.cli import app
from chattn_nas.errors import BackboneError
from chattn_nas.network import stages
from chattn_nas.network.layout import layout
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
    "rdnet_tiny": ("branch", (3, 3, 12, 3)),  # its blocks take lists of maps
    "resnest14d": ("stage", (1, 1, 1, 1)),  # its drop_path runs on the block's input
    "davit_tiny": ("stage", (1, 1, 1, 1)),  # its blocks hold tokens, its stages hand on maps
    "efficientformerv2_s0": ("branch", (2, 2, 6, 4)),  # an attribute `attn` that is None is a parallel branch
    "regnetz_b16_evos": ("native", (2, 6, 12, 2)),  # EvoNorm scales start at zero
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
    everywhere = Backbone("seresnet18", existing="keep")
    with pytest.raises(BackboneError, match="every slot of seresnet18 holds an attention already"):
        build(everywhere, "eca")
    assert stages(everywhere, image_size=64) == ()
    assert len(_se(build(everywhere, "none"))) == 8, "none leaves what is there"


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
    ],
)
def test_what_cannot_take_attention_is_refused_in_a_sentence(model, words):
    with pytest.raises(BackboneError, match=words) as caught:
        check(survey(model))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["samvit_base_patch16", "volo_d1_224"])
def test_maps_held_channels_last_without_saying_so_are_told_by_their_shapes(model):
    """Read as (B, C, H, W), attention would gate the rows of the image."""
    found = layout(Backbone(model), 3, 224)
    assert all(block.channels_last for blocks in found.blocks for block in blocks)
    widths = {stage.places["before_add"][0].channels for stage in found.stages}
    assert widths == ({768} if model.startswith("samvit") else {192, 384})
    assert all(stage.places["before_add"][0].feature_size in ((14, 14), (28, 28)) for stage in found.stages)


def test_a_stage_without_slots_takes_attention_as_a_whole_and_the_share_is_told():
    found = layout(Backbone("hgnetv2_b0"), 3, 64)
    assert [stage.kind for stage in found.stages] == ["stage", "stage", "branch", "stage"]
    assert found.share.startswith("1 of 5 blocks have a slot of their own; stages 1, 2, 4: behind the whole stage")
    assert layout(Backbone("resnet10t"), 3, 64).share == "4 of 4 blocks have a slot of their own"
    assert survey("hgnetv2_b0").slotted == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features_only": True}, "features_only: it gives feature maps"),
        ({"num_classes": 7}, "num_classes: the data tell"),
        ({"checkpoint_path": "x.pth"}, "write backbone.weights instead"),
        ({"global_pool": "", "head_conv_bias": 1}, "cannot be built: .*head_conv_bias"),
    ],
)
def test_options_that_make_no_classifier_are_refused(options, words):
    with pytest.raises(BackboneError, match=words):
        stages(Backbone("resnet10t", options), image_size=64)


@pytest.mark.parametrize(("option", "hint"), [("widht", "; did you mean 'width'?"), ("norm_layer", "")])
def test_an_unknown_option_is_not_said_to_mean_itself(option, hint):
    """``norm_layer`` is an option of timm's own ResNets, from which ours are derived."""
    with pytest.raises(BackboneError, match=rf"unexpected keyword argument '{option}'{re.escape(hint)}$"):
        stages(Backbone("cifar_resnet8", {option: 8}), image_size=32)


def test_a_shortcut_may_hold_more_parameters_than_the_branch():
    """In the first block of the last stage a 1x1 convolution from 1024 to 2048 channels stands beside three layers."""
    assert layout(Backbone("eca_botnext26ts_256"), 3, 256).share == "8 of 8 blocks have a slot of their own"


def test_a_gate_that_changes_nothing_is_no_slot():
    """What a ResNeSt block does to its ``drop_path``, and a block that ignores its own."""
    reasons = dict(layout(Backbone("resnest26d"), 3, 64).left_out)
    assert "a gate there changes nothing that the network gives" in reasons.values()


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
    assert "3 of 3" in listed.stdout
    done = CliRunner().invoke(app, ["backbones", "resnett50"])
    assert isinstance(done.exception, BackboneError)
    assert "did you mean 'resnet50'" in str(done.exception)
