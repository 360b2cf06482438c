"""pt2, onnx and timm folders: written, loaded again, equal."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import torch

from chattn_nas.errors import MissingExtraError
from chattn_nas.export import Card, export_network, open_folder
from chattn_nas.network import build_network, start_at_unit
from chattn_nas.network.scaled import constants
from chattn_nas.space import Architecture, Backbone, StageChoice

MIXED = Architecture(
    Backbone("cifar_resnet8", {"width": 8}),
    (
        StageChoice("se", {"reduction": 4}),
        StageChoice("fca", {"frequencies": "top4", "reduction": 4}),
        StageChoice("eca"),
    ),
)
CARD = Card(
    name="mixed", backbone="cifar_resnet8", dataset="noise", mean=(0.5,) * 3, std=(0.25,) * 3,
    class_names=tuple("abcdefghij"), accuracy=0.5, seeds=2, accuracy_se=0.01, costs={"parameters": 20000},
)  # fmt: skip


@pytest.fixture(scope="module")
def network():
    return build_network(MIXED, num_classes=10, in_chans=3, image_size=16, seed=0)


def _export(network, folder, *formats):
    return export_network(
        network,
        architecture=MIXED,
        out_dir=folder,
        num_classes=10,
        in_chans=3,
        image_size=16,
        card=CARD,
        formats=formats,
    )


def test_attention_is_copied_whole(network, tmp_path):
    report = _export(network, tmp_path, "source", "safetensors")
    assert report.max_difference == 0
    text = (tmp_path / "model.py").read_text()
    assert "se=SE(8, reduction=4)" in text
    assert 'se=FCA(16, feature_size=(8, 8), frequencies="top4", reduction=4)' in text
    assert "# SE: Squeeze-and-Excitation Networks." in text
    assert "@register" not in text
    card = (tmp_path / "README.md").read_text()
    assert "Proxy validation accuracy 50.00 % (standard error 1.00) over 2 seeds." in card
    pooled = replace(CARD, pooled=(0.481, 0.463, 0.499)).evidence
    assert "48.10 % (pooled mean, 95 % interval 46.30 to 49.90; raw mean 50.00 % (standard error" in pooled
    assert Architecture.from_yaml((tmp_path / "architecture.yaml").read_text()) == MIXED


def test_pt2_has_free_batch_and_size(network, tmp_path):
    report = _export(network, tmp_path, "pt2")
    assert report.differences["pt2"] < 1e-6
    extra = {"preprocessing.json": ""}
    program = torch.export.load(tmp_path / "network.pt2", extra_files=extra).module()
    assert program(torch.randn(5, 3, 24, 40)).shape == (5, 10)
    assert json.loads(extra["preprocessing.json"])["class_names"][0] == "a"


def test_onnx_is_one_file_and_equal(network, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    report = _export(network, tmp_path, "onnx")
    assert report.differences["onnx"] < 1e-5
    assert not list(tmp_path.glob("*.data"))
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx", providers=["CPUExecutionProvider"])
    held = session.get_modelmeta().custom_metadata_map["preprocessing"]
    assert json.loads(held)["image_size"] == [16, 16]


def test_onnx_without_its_packages_says_what_to_install(network, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r'pip install "chattn-nas\[onnx\]"'):
        _export(network, tmp_path, "onnx")


def test_timm_loads_the_folder(network, tmp_path):
    import timm

    assert _export(network, tmp_path, "timm").differences["timm"] == 0
    found = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(found(images), network.eval()(images))
    assert found.pretrained_cfg["mean"] == (0.5,) * 3 or found.pretrained_cfg["mean"] == [0.5] * 3
    fresh = timm.create_model(f"local-dir:{tmp_path}", pretrained=False)
    assert fresh.fc.out_features == 10


@pytest.mark.parametrize("kind", ["se", "eca", "gct", "dia"])
def test_a_network_that_started_as_the_identity_loads_through_timm(kind, tmp_path):
    import timm

    architecture = Architecture(Backbone("cifar_resnet14", {"width": 4}), (StageChoice(kind),))
    network = build_network(architecture, num_classes=4, in_chans=1, image_size=8, seed=0, identity_init=True)
    with torch.no_grad():
        for parameter in network.parameters():  # as if it had been trained
            parameter.add_(0.1 * torch.randn_like(parameter))
    report = export_network(
        network, architecture=architecture, out_dir=tmp_path, num_classes=4, in_chans=1, image_size=8,
        card=Card(name="identity", backbone="cifar_resnet14"), formats=("timm", "source"),
    )  # fmt: skip
    assert report.max_difference == 0
    images = torch.randn(2, 1, 8, 8)
    found = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    with torch.no_grad():
        assert torch.equal(found(images), network.eval()(images))


@pytest.mark.parametrize("kind", ["se", "dia", "channel_scale"])
def test_constants_behind_attentions_are_kept_in_every_format(kind, tmp_path):
    choice = StageChoice(kind, placement="after_add")  # where there is no scale before the attention to take them
    architecture = Architecture(Backbone("cifar_resnet8", {"width": 4}), (choice,))
    network = build_network(architecture, num_classes=4, in_chans=1, image_size=8, seed=0)
    images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    start_at_unit(network, images)
    assert bool(constants(network)) == (kind != "channel_scale")
    report = export_network(
        network, architecture=architecture, out_dir=tmp_path, num_classes=4, in_chans=1, image_size=8,
        card=Card(name="unit", backbone="cifar_resnet8"), formats=("timm", "source", "safetensors"),
    )  # fmt: skip
    assert report.max_difference == 0
    with torch.no_grad():
        assert torch.equal(open_folder(tmp_path).network()(images), network.eval()(images))
