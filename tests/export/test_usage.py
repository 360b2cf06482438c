"""A network of another task: its own answer to an image file, its own outputs, in every format."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from chattn_nas.errors import ExportError
from chattn_nas.export import Card, Usage, export_network, open_folder
from chattn_nas.network import build_network
from chattn_nas.space import Architecture, Backbone, StageChoice

ARCHITECTURE = Architecture(Backbone("test_resnet"), (StageChoice("se"),))


def _module(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Segmenter(nn.Module):
    """Logits of masks, and the features that they came from."""

    def __init__(self) -> None:
        super().__init__()
        self.body = build_network(ARCHITECTURE, num_classes=0, in_chans=3, image_size=32, seed=0)
        widths = [self.body.feature_info[index]["num_chs"] for index in (1, 3)]
        self.lateral = nn.ModuleList(nn.Conv2d(width, 3, 1) for width in widths)

    def forward(self, x):
        features = self.body.forward_intermediates(x, indices=[1, 3], intermediates_only=True)
        fine, coarse = (lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True))
        y = fine + F.interpolate(coarse, size=fine.shape[2:], mode="bilinear")
        return {"masks": F.interpolate(y, size=x.shape[2:], mode="bilinear"), "coarse": coarse}


class _Masks(_Segmenter):
    def forward(self, x):
        return super().forward(x)["masks"]


def _export(network, folder, usage, formats=("source",)):
    return export_network(
        network, architecture=ARCHITECTURE, out_dir=folder, num_classes=3, in_chans=3, image_size=(32, 48),
        card=Card(name="masks", backbone="test_resnet", mean=(0.5,) * 3, std=(0.25,) * 3), usage=usage,
        formats=formats,
    )  # fmt: skip


@pytest.fixture
def usage():
    yield Usage(
        outputs=("masks",), gives="logits (B, classes, H, W)", answers="writes image.mask.png",
        functions={"answer": _module("mask_usage").answer}, constants={"PALETTE": [0, 0, 0, 255, 0, 0, 0, 0, 255]},
    )  # fmt: skip
    del sys.modules["mask_usage"]


def test_a_picture_gets_its_mask_where_only_torch_and_pillow_are(usage, tmp_path):
    report = _export(_Masks(), tmp_path / "out", usage)
    assert report.max_difference == 0
    readme = (report.folder / "README.md").read_text(encoding="utf-8")
    assert "`python model.py image.png` writes image.mask.png" in readme
    assert "masks = network(images)  # float images (B, 3, 32, 48), normalised as below, give logits (B, cl" in readme
    Image.new("RGB", (100, 50), "red").save(tmp_path / "image.png")
    command = [sys.executable, "-I", str(report.folder / "model.py"), str(tmp_path / "image.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "wrote image.mask.png\n", done.stderr
    with Image.open(tmp_path / "image.mask.png") as mask:
        assert mask.size == (100, 50)
        assert mask.mode == "P"


def test_several_outputs_are_proved_in_every_format(tmp_path):
    usage = Usage(outputs=("masks", "coarse"))
    formats = ["source", "pt2"]
    if all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnxscript")):
        formats.append("onnx")
    report = _export(_Segmenter(), tmp_path, usage, formats)
    assert report.differences["evaluation"] == report.differences["training"] == report.differences["state"] == 0
    assert report.max_difference < 1e-5
    answers = torch.export.load(tmp_path / "network.pt2").module()(torch.zeros(1, 3, 32, 48))
    assert list(answers) == ["masks", "coarse"]


def read_image(path):
    """Uses what is not there where only torch is."""
    return pytest.importorskip(str(path))


def test_a_function_that_needs_more_than_torch_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"read_image of .* cannot be written as source: its file imports pytest"):
        _export(_Masks(), tmp_path, Usage(functions={"read_image": read_image}))


def test_a_network_of_several_labels_says_each(tmp_path, capsys):
    network = build_network(ARCHITECTURE, num_classes=3, in_chans=3, image_size=32, seed=0)
    with torch.no_grad():
        network.get_classifier().bias.copy_(torch.tensor([5.0, -5.0, 5.0]))
    export_network(
        network, architecture=ARCHITECTURE, out_dir=tmp_path, num_classes=3, in_chans=3, image_size=32,
        card=Card(name="several", backbone="test_resnet", class_names=("sun", "rain", "wind"), multilabel=True),
        formats=["source"],
    )  # fmt: skip
    exported = open_folder(tmp_path)
    with torch.no_grad():
        exported.model.answer(exported.network()(torch.zeros(1, 3, 32, 32)), "image.png")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {line[-1]: line[0] for line in lines} == {"sun": "yes", "wind": "yes", "rain": "no"}
