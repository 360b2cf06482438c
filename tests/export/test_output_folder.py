"""The folder of an export: what may be written where, what the card names, and which modes files get."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest
import torch
from torch import nn

from chattn_nas.errors import ExportError, InputError
from chattn_nas.export import FORMATS, Card, export_network, open_folder
from chattn_nas.network import build_network
from chattn_nas.space import Architecture, Backbone, StageChoice

ARCHITECTURE = Architecture(Backbone("cifar_resnet8", {"width": 4}), (StageChoice("eca"),))
CARD = Card(name="folder", backbone="cifar_resnet8", class_names=("Käse", "±", "c", "d"))


@pytest.fixture(scope="module")
def network():
    return build_network(ARCHITECTURE, num_classes=4, in_chans=1, image_size=8, seed=0)


def _export(network, folder, *formats, **options):
    return export_network(
        network, architecture=ARCHITECTURE, out_dir=folder, num_classes=4, in_chans=1, image_size=8, card=CARD,
        formats=formats, **options,
    )  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_the_card_of_every_format_alone_names_only_files_that_are_there_and_its_lines_run(
    network, tmp_path, monkeypatch, name
):
    if name == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    report = _export(network, tmp_path / "out", name)
    held = {path.name for path in report.folder.iterdir()}
    assert set(report.files) == held
    text = (report.folder / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"[\w.]+\.(?:py|pt2?|onnx|safetensors|json|yaml|md)\b", text)) <= held
    assert ("model.py" in text) == (name == "source")
    monkeypatch.chdir(report.folder)
    monkeypatch.syspath_prepend(report.folder)
    monkeypatch.delitem(sys.modules, "model", raising=False)  # of another test's folder
    images = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        expected = network.eval()(images)
        for lines in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            space = {"images": images}
            exec(lines.replace("local-dir:DIR", f"local-dir:{report.folder}"), space)
            found = space["logits"]
            found = torch.as_tensor(found[0]) if isinstance(found, list) else found
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_files_get_the_mode_of_any_new_file(network, tmp_path):
    (tmp_path / "ordinary").touch()
    report = _export(network, tmp_path / "out", "source", "safetensors", "timm")
    modes = {path.name: oct(path.stat().st_mode) for path in report.folder.iterdir()}
    assert set(modes.values()) == {oct((tmp_path / "ordinary").stat().st_mode)}


def test_a_folder_that_no_export_wrote_is_left_alone(network, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / ".ssh").mkdir()
    with pytest.raises(InputError, match=r"no export wrote it \(it holds \.ssh, README\.md\).*force=True"):
        _export(network, tmp_path, "safetensors")
    assert {path.name for path in tmp_path.iterdir()} == {"README.md", ".ssh"}
    assert (tmp_path / "README.md").read_text() == "mine"
    (tmp_path / "notes.txt").write_text("mine too")
    report = _export(network, tmp_path, "safetensors", force=True)
    assert set(report.files) == {"weights.safetensors", "architecture.yaml", "export.json", "README.md"}
    assert (tmp_path / "notes.txt").read_text() == "mine too"


def test_an_earlier_export_is_replaced_but_for_what_others_wrote(network, tmp_path):
    _export(network, tmp_path, "source", "timm")
    (tmp_path / "notes.txt").write_text("mine")
    report = _export(network, tmp_path, "safetensors")
    assert {path.name for path in tmp_path.iterdir()} == {*report.files, "notes.txt"}
    (tmp_path / "weights.safetensors").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"weights\.safetensors was changed since it was exported"):
        _export(network, tmp_path, "safetensors")
    (tmp_path / "weights.safetensors").unlink()
    (tmp_path / "model.py").write_text("mine")
    with pytest.raises(InputError, match=r"model\.py is there, and no export wrote it"):
        _export(network, tmp_path, "source")
    assert (tmp_path / "model.py").read_text() == "mine"


def test_a_manifest_names_only_files_of_its_folder(network, tmp_path):
    (tmp_path / "keep.txt").write_text("mine")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "export.json").write_text(json.dumps({"files": {"../keep.txt": "x", "keep.txt": 1}}))
    _export(network, folder, "safetensors")
    assert (tmp_path / "keep.txt").read_text() == "mine"
    (folder / "export.json").write_text("[]")
    with pytest.raises(InputError, match="no export wrote it"):
        _export(network, folder, "safetensors")


class _Wayward(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 4)
        self.calls = 0

    def forward(self, x):
        if x.sum() > 1e9:
            self.calls += 1
        return self.fc(x.mean((2, 3)))


def test_an_export_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ExportError, match='"pt2" or "onnx"'):
        _export(nn.Sequential(_Wayward()), tmp_path / "new", "safetensors", "source")
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with pytest.raises(ExportError):
        _export(nn.Sequential(_Wayward()), tmp_path / "old", "safetensors", "source")
    assert not list((tmp_path / "old").iterdir())


def test_what_cannot_be_a_folder_is_refused_in_a_sentence(network, tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below", "/proc/nowhere"):
        with pytest.raises(InputError, match="cannot be written"):
            _export(network, path, "safetensors")
    if os.geteuid():  # root may write anywhere
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(InputError, match="cannot be written: Permission denied"):
            _export(network, tmp_path / "closed", "safetensors")


def _harmed(whole: bytes):
    """Cut off, turned round in the middle, emptied, something else."""
    middle = len(whole) // 2
    yield whole[:middle]
    yield whole[:middle] + bytes(byte ^ 0x5A for byte in whole[middle : middle + 64]) + whole[middle + 64 :]
    yield b""
    yield b"\xff\x00" * 200


def _read(folder):
    opened = open_folder(folder)
    return opened.network(), opened.architecture


def test_a_damaged_folder_is_one_sentence_that_names_the_file(network, tmp_path):
    _export(network, tmp_path / "out", "source")
    for name in ("weights.pt", "architecture.yaml", "model.py"):
        file = tmp_path / "out" / name
        whole = file.read_bytes()
        for index, content in enumerate(_harmed(whole)):
            file.write_bytes(content)
            with pytest.raises(InputError) as caught:
                _read(tmp_path / "out")
            assert str(file) in str(caught.value), (name, index)
            assert "\n" not in str(caught.value)
        file.write_bytes(whole)
    assert _read(tmp_path / "out")[1] == ARCHITECTURE
