"""The source format: written, laid out, and proved where only torch can be imported."""

from __future__ import annotations

import subprocess
import sys

import pytest
import safetensors.torch
import timm
import torch

from chattn_nas.errors import ExportError, InputError
from chattn_nas.export import Card, export_network


class _Plain:
    """Stands for an Architecture of a bare timm model."""

    stages = ("none",)

    def to_yaml(self) -> str:
        return "backbone: bare\n"


def _export(network, out_dir, **options):
    card = Card(name="a test", backbone="bare", dataset="noise", mean=(0.5,) * 3, std=(0.25,) * 3)
    settings = {"num_classes": 10, "in_chans": 3, "image_size": 32, "card": card} | options
    return export_network(network, architecture=_Plain(), out_dir=out_dir, **settings)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=10)
    return network, _export(network, tmp_path_factory.mktemp("export") / "resnet")


def test_a_resnet_is_written_bit_exactly(resnet):
    network, report = resnet
    parts = ("evaluation", "training", "gradients", "state", "safetensors")
    assert report.differences == dict.fromkeys(parts, 0.0)
    assert set(report.files) == {path.name for path in report.folder.iterdir() if path.is_file()}
    state = safetensors.torch.load_file(report.folder / "weights.safetensors")
    assert state.keys() == network.state_dict().keys()


def test_the_file_is_as_a_person_would_write_it(resnet):
    file = resnet[1].folder / "model.py"
    options = ["--isolated", "--line-length", "120", str(file)]
    for command in (["check", "--select", "E,F,I,W,B,UP"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    imports = [line for line in file.read_text().splitlines() if line.startswith(("import ", "from "))]
    roots = {line.split()[1].partition(".")[0] for line in imports}
    assert roots - {"torch"} <= set(sys.stdlib_module_names)


def test_it_runs_as_a_script(resnet, tmp_path):
    from PIL import Image

    file = resnet[1].folder / "model.py"
    done = subprocess.run([sys.executable, "-I", file], capture_output=True, text=True, check=True)
    assert "(2, 10)" in done.stdout
    Image.new("L", (50, 40), 128).save(tmp_path / "grey.png")
    done = subprocess.run(
        [sys.executable, "-I", file, tmp_path / "grey.png"], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 5
    assert "class " in done.stdout


def test_the_card_says_what_is_not_known(resnet):
    text = (resnet[1].folder / "README.md").read_text()
    assert "Not confirmed" in text
    assert "has not been trained" in text


class _Branching(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 10)
        self.fallback = [torch.nn.Linear(3, 10)]

    def forward(self, x):
        pooled = x.mean((2, 3))
        return self.fc(pooled) if pooled.sum() > 0 else self.fallback[0](pooled)


def test_what_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ExportError, match=r"_Branching.*pt2"):
        _export(torch.nn.Sequential(_Branching()), tmp_path)


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(InputError, match="did you mean 'source'"):
        _export(torch.nn.Identity(), tmp_path, formats=("sauce",))
