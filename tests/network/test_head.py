"""Second-order pooling before the classifier: where it fits, what it refuses, and its exports."""

import pytest
import torch
from torch import nn

from chattn_nas.errors import BackboneError
from chattn_nas.export import Card, export_network
from chattn_nas.network import build_network
from chattn_nas.network.head import CovariancePool
from chattn_nas.space import Architecture, Backbone


def _architecture(model="cifar_resnet8", attention="none", head="isqrt_cov", **options):
    return Architecture.uniform(Backbone(model, options, head=head), attention)


def _build(architecture, image_size=16, **options):
    return build_network(architecture, num_classes=5, image_size=image_size, seed=0, **options)


@pytest.mark.parametrize(
    ("model", "features"), [("cifar_resnet8", 64 * 65 // 2), ("resnet18", 256 * 257 // 2), ("test_byobnet", 32896)]
)
def test_it_replaces_pooling_and_classifier(model, features):
    network = _build(_architecture(model), image_size=64)
    assert network.get_classifier().in_features == features
    logits = network(torch.randn(3, 3, 64, 64))
    assert logits.shape == (3, 5)
    logits.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_the_rest_of_the_network_is_the_same_under_one_seed():
    plain, pooled = (_build(_architecture(head=head, attention="se")) for head in ("default", "isqrt_cov"))
    own, other = plain.state_dict(), pooled.state_dict()
    assert all(torch.equal(own[name], other[name]) for name in own if not name.startswith("fc."))
    assert all(
        torch.equal(a, b)
        for a, b in zip(other.values(), _build(_architecture(attention="se")).state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        ("convnext_atto", 64, "convnext_atto does not end in a global pooling and a linear layer"),
        ("mobilenetv3_small_050", 64, "does not end in a global pooling and a linear layer"),
        ("resnet18", 32, "resnet18 ends in a map of 1x1 on 32x32 images, which has no covariance: take larger images"),
    ],
)
def test_what_it_cannot_sit_on_is_refused_in_words(model, size, message):
    with pytest.raises(BackboneError, match=message) as caught:
        _build(_architecture(model), image_size=size)
    assert caught.value.where == ("head",)


def test_it_is_finite_without_variance():
    pool = CovariancePool(16, dim=8)
    for x in (torch.zeros(3, 16, 4, 4), torch.full((3, 16, 4, 4), 0.7), torch.randn(3, 16, 1, 1)):
        x = x.requires_grad_()
        y = pool(x)
        y.square().sum().backward()
        assert y.isfinite().all()
        assert x.grad.isfinite().all()
        assert all(parameter.grad.isfinite().all() for parameter in pool.parameters())


def test_it_is_a_float32_island_under_autocast():
    pool, x = CovariancePool(16, dim=8).eval(), torch.randn(3, 16, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        found = pool(x)
    assert (found - pool(x)).abs().max() < 2e-2 * pool(x).abs().max()


@pytest.mark.parametrize("attention", ["none", "enc_module"])
def test_its_exports_are_proved(attention, tmp_path):
    """Readable source and torch.export; of enc_module no weight is dropped, the auxiliary head's included."""
    architecture = _architecture(attention=attention, width=8)
    network = _build(architecture)
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_var, 0.5, 1)
    card = Card(name="pooled", backbone="cifar_resnet8", dataset="none", class_names=tuple("abcde"),
                mean=(0.5,) * 3, std=(0.3,) * 3)  # fmt: skip
    report = export_network(
        network, architecture=architecture, out_dir=tmp_path / "out", num_classes=5, in_chans=3, image_size=16,
        card=card, formats=("source", "pt2"),
    )  # fmt: skip
    assert report.max_difference < 1e-5
    assert set(torch.load(tmp_path / "out" / "weights.pt", weights_only=True)) == set(network.state_dict())
