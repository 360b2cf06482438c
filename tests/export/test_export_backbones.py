"""Three small backbones with attention in every format, proved; the card's lines are run, and timm loads the folder."""

from __future__ import annotations

import re
import sys

import pytest
import timm
import torch

from chattn_nas.export import FORMATS, Card, export_network
from chattn_nas.network import build_network
from chattn_nas.space import Architecture, Backbone, StageChoice


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "options", "kind"),
    [
        ("resnet18", {"layers": (1, 1, 1, 1)}, "se"),
        ("convnext_atto", {"depths": (1, 1, 1, 1)}, "gct"),
        ("mobilenetv3_small_100", {}, "eca"),
    ],
)
def test_every_format(model, options, kind, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    architecture = Architecture(Backbone(model, options), (StageChoice(kind),))
    network = build_network(architecture, num_classes=10, in_chans=3, image_size=64, seed=0)
    report = export_network(
        network, architecture=architecture, out_dir=tmp_path, num_classes=10, in_chans=3, image_size=64,
        card=Card(name=model, backbone=model), formats=FORMATS,
    )  # fmt: skip
    exact = ("evaluation", "training", "state", "safetensors", "timm")
    assert [report.differences[name] for name in exact] == [0] * len(exact)
    assert report.differences["pt2"] < 1e-5
    assert report.differences["onnx"] < 1e-5
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        expected = network.eval()(images)
        lines = re.search(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
        assert lines is not None
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "model", raising=False)
        space = {"images": images}
        exec(lines[1], space)
        monkeypatch.delitem(sys.modules, "model")
        assert torch.equal(space["logits"], expected)
        assert torch.equal(timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()(images), expected)
