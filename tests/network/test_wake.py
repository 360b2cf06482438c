"""Scales that start at zero are woken where they cut attention off, and nothing else is."""

import copy

import pytest
import torch
from torch import nn

from chattn_nas.network import build_network
from chattn_nas.network.layout import layout
from chattn_nas.network.model import create_backbone
from chattn_nas.network.slots import Block
from chattn_nas.network.wake import zeroed_scales
from chattn_nas.space import Architecture, Backbone


class LayerScaled(nn.Module):
    """A residual block with a scale of its own, biases at zero, and a parameter that is zero for good reason."""

    def __init__(self, channels=4):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv.bias)
        self.gamma = nn.Parameter(torch.zeros(channels, 1, 1))
        self.offset = nn.Parameter(torch.zeros(channels, 1, 1))
        self.drop_path = nn.Identity()

    def forward(self, x):
        return torch.relu(x + self.drop_path(self.gamma * self.conv(x)) + self.offset)


def model_of(block):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), block, nn.Flatten(), nn.LazyLinear(2))
    model(torch.randn(2, 3, 8, 8))
    return model


def test_a_scale_of_any_name_is_found_and_biases_are_not():
    block = LayerScaled()
    model = model_of(block)
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    found = zeroed_scales(model, [Block("1", "1", "branch", "drop_path")], {"1": ("1.conv",)}, 3, (8, 8))
    assert found == ["1.gamma"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state), "nothing is drawn from the global state"
    assert model.training
    assert isinstance(block.drop_path, nn.Identity)


def test_two_scales_in_a_row_are_both_found():
    class Twice(LayerScaled):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return x + self.drop_path(self.gamma * self.conv(x)) * self.gain

    found = zeroed_scales(model_of(Twice()), [Block("1", "1", "branch", "drop_path")], {}, 3, (8, 8))
    assert sorted(found) == ["1.gain", "1.gamma"]


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("resnet10t", [f"layer{stage}.0.bn2.weight" for stage in (1, 2, 3, 4)]),
        ("test_nfnet", [f"stages.{stage}.0.skipinit_gain" for stage in range(4)]),
        ("convnextv2_atto", []),  # its response norms start at zero beside a shortcut of their own
        ("efficientnet_b0", []),
    ],
)
def test_which_scales_are_woken_in_timm(model, names):
    plan = layout(Backbone(model), 3, 64)
    blocks = [block for stage in plan.blocks for block in stage]
    bare = create_backbone(Backbone(model), num_classes=10, in_chans=3)
    found = zeroed_scales(bare, blocks, plan.convolutions, 3, (64, 64))
    if model == "test_nfnet":
        assert len(found) == 4
    else:
        assert found == names


def test_what_is_woken_depends_neither_on_the_seed_nor_on_the_attention():
    """Common random numbers: two networks of one seed share all that they have in common."""
    bare, gated = (
        build_network(Architecture.uniform("resnet10t", kind), image_size=64, seed=3) for kind in ("none", "se")
    )
    mine, theirs = bare.state_dict(), gated.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert bool((mine["layer1.0.bn2.weight"] == 1).all())
    zeroed = build_network(
        Architecture.uniform(Backbone("resnet10t", {"zero_init_last": True}), "none"), image_size=64, seed=3
    )
    assert not zeroed.layer1[0].bn2.weight.any(), "who asks for zeros has them"
