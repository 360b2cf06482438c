"""The folder of an export: what may be written where, what the card names, and which modes files get."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

from chattn_nas.errors import ExportError, InputError
from chattn_nas.export import FORMATS, Card, check_request, export_network, open_folder
from chattn_nas.export.output import OutputFolder
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


DAMAGES = {
    "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "turned": lambda file: file.write_bytes(_turned(file.read_bytes())),
    "empty": lambda file: file.write_bytes(b""),
    "another": lambda file: file.write_bytes(b"\xff\x00" * 200),
    "folder": lambda file: (file.unlink(), file.mkdir()),
    "no right": lambda file: file.chmod(0),
}  # fmt: skip


def _turned(whole: bytes) -> bytes:
    """64 bytes in the middle turned round."""
    middle = len(whole) // 2
    return whole[:middle] + bytes(byte ^ 0x5A for byte in whole[middle : middle + 64]) + whole[middle + 64 :]


def _read(folder):
    opened = open_folder(folder)
    return opened.network(), opened.architecture


@pytest.fixture
def damaged(network, tmp_path, without_rights):
    """Calls a function for every damage to every file of an export: file, damage."""

    def each(look, *names):
        _export(network, tmp_path / "whole", "source")
        for name in names:
            for damage, do in DAMAGES.items():
                folder = tmp_path / f"{name} {damage}"
                shutil.copytree(tmp_path / "whole", folder)
                do(folder / name)
                with without_rights():
                    look(folder / name, damage)
        return tmp_path / "whole"

    return each


def test_a_damaged_folder_is_one_sentence_that_names_the_file(damaged):
    def look(file, damage):
        with pytest.raises(InputError) as caught:
            _read(file.parent)
        assert file.name in str(caught.value), damage
        assert str(file.parent) in str(caught.value), damage
        assert "\n" not in str(caught.value)

    assert _read(damaged(look, "weights.pt", "architecture.yaml", "model.py"))[1] == ARCHITECTURE


def test_an_exported_model_says_in_one_sentence_what_is_damaged(network, damaged, tmp_path, monkeypatch, capsys):
    """Its own ``python model.py IMAGE``: weights, tables and pictures that cannot be read."""
    picture = tmp_path / "image.png"
    Image.new("L", (9, 9), 100).save(picture)

    def said(folder, *images):
        monkeypatch.setattr(sys, "argv", ["model.py", *map(str, images)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(folder / "model.py"), run_name="__main__")
        assert len(str(ended.value.code).splitlines()) == 1
        return str(ended.value.code)

    def look(file, damage):
        assert str(file) in said(file.parent, picture), damage

    whole = damaged(look, "weights.pt")
    (whole / "weights.pt").rename(whole / "moved.pt")
    assert said(whole, picture) == f"{whole / 'weights.pt'} cannot be read or written: No such file or directory"
    (whole / "moved.pt").rename(whole / "weights.pt")
    for damage, do in DAMAGES.items():
        file = tmp_path / f"{damage}.png"
        Image.new("L", (99, 99), 100).save(file)
        do(file)
        if damage not in ("no right", "turned"):
            assert f"{file} cannot be read as an image" in said(whole, file)
    assert "missing.png cannot be read as an image: No such file" in said(whole, "missing.png")


def test_an_export_into_a_damaged_one_is_refused_before_anything_is_done_and_mended_by_force(damaged):
    def look(file, damage):
        with pytest.raises(InputError) as caught:
            check_request(["source"], file.parent)
        told = (
            str(file) if (file.name, damage) != ("export.json", "turned") else str(file.parent)
        )  # whose sums are others
        assert told in str(caught.value), damage
        assert ("remove it" if damage == "folder" and file.name != "export.json" else "force=True") in str(caught.value)
        if damage == "folder":
            with pytest.raises(InputError, match="is a folder, where an export writes a file: remove it"):
                check_request(["source"], file.parent, force=True)
        else:
            check_request(["source"], file.parent, force=True)

    damaged(look, "weights.pt", "README.md", "export.json")


def test_what_differs_from_what_was_exported_is_told(network, tmp_path, caplog):
    _export(network, tmp_path / "out", "source")
    open_folder(tmp_path / "out")
    assert not caplog.records
    file = tmp_path / "out" / "model.py"
    file.write_text(file.read_text(encoding="utf-8").replace("MEAN = (0.0,)", "MEAN = (0.1,)"), encoding="utf-8")
    open_folder(tmp_path / "out")
    assert f"{file} is not the file that was exported" in caplog.text


def test_one_export_at_a_time_and_what_a_killed_one_left_is_cleared_away(network, tmp_path):
    folder = tmp_path / "out"
    (folder / ".export-left").mkdir(parents=True)
    (folder / ".export-left" / "model.py").write_text("half")
    output = OutputFolder(folder)
    with output.staging():
        assert all(file.name.startswith(".export-") for file in folder.iterdir())
        assert not (folder / ".export-left").exists(), "only what is being written"
        with pytest.raises(InputError, match=f"another export writes into {folder}"):
            _export(network, folder, "safetensors")
    first, second = OutputFolder(folder), OutputFolder(folder)  # both find it empty
    for one in (first, second):
        with one.staging() as staging:
            (staging / "weights.pt").write_text("whole")
            one.publish(staging, ["weights.pt"])
    assert {file.name for file in folder.iterdir()} == {"weights.pt", "export.json"}


WRITES = """
import sys
if sys.argv[2] == "no locks":
    sys.modules["fcntl"] = None
import warnings; warnings.simplefilter("ignore")
from chattn_nas.errors import InputError
from chattn_nas.export.output import OutputFolder
try:
    with OutputFolder(sys.argv[1]).staging() as staging:
        (staging / "model.py").write_text("half")
        print("writes", flush=True)
        sys.stdin.read()
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("system", ["locks", "no locks"])
def test_an_export_that_was_killed_does_not_block_the_next(tmp_path, system):
    folder = tmp_path / "out"
    command = [sys.executable, "-c", WRITES, str(folder), system]

    def writes():
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "writes\n"
        assert writes().startswith(f"another export writes into {folder}")
        first.kill()
    assert list(folder.iterdir())
    assert writes() == "writes\n"
    assert not list(folder.iterdir()), "neither a lock nor what the killed one wrote"


def test_a_full_disk_is_one_sentence_and_leaves_the_export_of_before(network, tmp_path, monkeypatch):
    _export(network, tmp_path / "out", "source")
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}

    def full(*given, **named):
        monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
        raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")  # torch's words

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match="cannot be written: the disk is full"):
        _export(network, tmp_path / "out", "source")
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


LIMITED = """
import resource, sys
import torch
from pathlib import Path
from types import SimpleNamespace
from chattn_nas.export.pt2 import _write
network = torch.nn.Conv2d(3, 64, 9)
images = torch.randn(2, 3, 16, 16)
context = SimpleNamespace(network=network, images=images, preprocessing={})
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    _write(context, Path(sys.argv[1]), None)
except OSError as error:
    print(error)
"""


def test_a_program_that_cannot_be_written_whole_is_an_error_not_the_end_of_the_process(tmp_path):
    """Torch's own writing of a ``pt2`` file aborts the process in C++ where the disk is full."""
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "network.pt2")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert "File too large" in done.stdout
