"""Networks of every kind, each written as source and compared with itself in this process."""

from __future__ import annotations

import subprocess
import sys

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F
from writing import IMAGES, assert_same, written

from chattn_nas import attention
from chattn_nas.attention import IdentityStart
from chattn_nas.errors import ExportError, InputError
from chattn_nas.network import build_network, feature_extractor, start_at_unit
from chattn_nas.network.scaled import fix_scales
from chattn_nas.space import Architecture, Backbone, StageChoice


@pytest.mark.parametrize("name", attention.names())
def test_every_attention_iswritten(name):
    """Ours are copied whole, timm's are written as any other part of a network; at the unit start, as proxies are."""
    architecture = Architecture(Backbone("cifar_resnet8", {"width": 32}), (StageChoice(name),))
    try:
        network = build_network(architecture, num_classes=10, in_chans=3, image_size=32, seed=0)
    except InputError as error:
        pytest.skip(str(error))
    start_at_unit(network, IMAGES)
    fix_scales(network)
    text = assert_same(network)
    if name != "none" and not name.startswith("timm/"):
        assert f"class {attention.get(name).cls.__name__}(nn.Module):" in text
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "120", "-"],
        input=text, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_identity_start_iswritten():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), IdentityStart(attention.build("se", 8), 8), nn.Flatten())
    network.append(nn.Linear(8 * 900, 10))
    assert "IdentityStart(SE(8), 8)" in assert_same(network)


WRAPPED = [
    ("cifar_resnet14", "dia", {}, False),  # two blocks per stage: the state goes from one to the other
    ("cifar_resnet14", "dia", {"placement": "after_add"}, True),
    ("cifar_resnet8", "se", {"placement": "before_block"}, False),
    ("cifar_resnet8", "gct", {"placement": "before_convs"}, True),
    ("test_nfnet", "eca", {}, True),  # Rescaled
    ("mambaout_femto", "fca", {}, False),  # ChannelsLast
]


@pytest.mark.parametrize(("model", "kind", "options", "identity"), WRAPPED)
def test_wrappers_and_placements(model, kind, options, identity):
    choice = StageChoice(kind, **options)
    network = build_network(
        Architecture(Backbone(model), (choice,)), num_classes=10, in_chans=3, image_size=32, seed=0,
        identity_init=identity,
    )  # fmt: skip
    text = assert_same(network)
    assert f"{attention.get(kind).cls.__name__}(" in text
    if kind == "dia":
        assert "StageSlot(first=stages_0_blocks_0_" in text or "StageSlot(first=layer1_0" in text


def test_the_second_order_head():
    architecture = Architecture(Backbone("cifar_resnet8", head="isqrt_cov"), (StageChoice("eca"),))
    network = build_network(architecture, num_classes=10, in_chans=3, image_size=32, seed=0)
    assert "class CovariancePool(" in assert_same(network)


def test_a_hook_that_is_no_class_of_its_own_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    network[1].register_forward_hook(lambda *_: None)
    with pytest.raises(ExportError, match=r"'1'.*has a hook.*pt2"):
        written(network)


#: One small model per trap that the prototype fell into, and per template.
TRAPS = [
    "test_efficientnet", "test_nfnet", "tf_mobilenetv3_small_minimal_100", "ese_vovnet19b_slim", "efficientvit_b0",
    "mobilevit_xxs",
]  # fmt: skip


@pytest.mark.parametrize("name", TRAPS)
def test_traps(name):
    torch.manual_seed(0)
    assert_same(timm.create_model(name, num_classes=10), torch.randn(2, 3, 64, 64))


class _Pyramid(nn.Module):
    """Called with a list, which it goes through."""

    def __init__(self, channels):
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, 8, 1) for width in channels)
        self.out = nn.Conv2d(8, 10, 1)

    def forward(self, features):
        y = self.lateral[-1](features[-1])
        for lateral, feature in zip(self.lateral[:-1][::-1], features[:-1][::-1], strict=True):
            y = lateral(feature) + F.interpolate(y, size=feature.shape[2:], mode="bilinear")
        return self.out(y)


class _Segmenter(nn.Module):
    """A body that is used through another method than ``forward``, and a head that takes a list of its features."""

    def __init__(self, body):
        super().__init__()
        self.body = body
        self.head = _Pyramid([one.channels for one in body.maps])

    def forward(self, x):
        return F.interpolate(self.head(self.body(x)), size=x.shape[2:], mode="bilinear")


BODIES = [
    "cifar_resnet8", "test_efficientnet", "test_convnext", "ese_vovnet19b_slim",
    "densenet121",  # blocks called with lists
    "hrnet_w18_small",  # blocks that change lists
]  # fmt: skip


@pytest.mark.parametrize("model", BODIES)
def test_a_body_with_a_head_of_another_task(model):
    architecture = Architecture(Backbone(model), (StageChoice("eca"),))
    network = build_network(architecture, num_classes=10, in_chans=3, image_size=32, seed=0)
    text = assert_same(_Segmenter(feature_extractor(network, image_size=32)))
    assert "forward_intermediates" not in text  # what it does stands in the extractor's own forward
