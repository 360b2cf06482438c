"""A third party's attention, installed as a package or named by its class, is searched like ours."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

MODULE = """
    import torch
    from torch import nn
    from chattn_nas.attention import Hyperparameter, register

    @register(
        "channel_scale_plugin", title="Channel scale", year=2026,
        hyperparameters={"start": Hyperparameter(1.0, 0.5)},
        parameters=lambda channels, size, values: channels, macs=lambda channels, size, values: 0,
    )
    class ChannelScale(nn.Module):
        def __init__(self, channels, *, start=1.0):
            super().__init__()
            self.start = start
            self.scale = nn.Parameter(torch.full((channels, 1, 1), start))

        def forward(self, x):
            return x * self.scale.to(x.dtype)
"""
SPEC = """
    name: plugin
    backbone: {model: cifar_resnet8, options: {width: 8}}
    data: {dataset: digits, image_size: 8}
    space: {all: [none, TYPE: {start: [1.0, 0.5]}]}
    proxy: {rungs: [1], batch_size: 256, device: cpu}
    search: {trials: 5, sampler: random, seed: 0, workers: 1, devices: [cpu]}
"""


def _search(folder, name, path):
    """The records of a search, by the command line, with a type of that name; ``path`` is where Python looks."""
    (folder / "spec.yaml").write_text(textwrap.dedent(SPEC).replace("TYPE", json.dumps(name)))
    command = [sys.executable, "-m", "chattn_nas"]
    for arguments in (["search", "spec.yaml"], ["trials", "plugin", "--json"]):
        done = subprocess.run(
            [*command, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(path), os.environ.get("PYTHONPATH", "")])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package as an installer leaves it, beside our environment."""
    target = tmp_path_factory.mktemp("site-packages")
    (target / "channel_scale_plugin.py").write_text(textwrap.dedent(MODULE))
    about = target / "channel_scale-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: channel-scale\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[chattn_nas.attention]\nchannel_scale_plugin = channel_scale_plugin:ChannelScale\n"
    )
    return target


def test_an_installed_package_is_searched_by_its_name(tmp_path, installed):
    rows = _search(tmp_path, "channel_scale_plugin", installed)
    assert {row["outcome"] for row in rows} == {"complete"}
    assert "uniform channel_scale_plugin" in {row["label"] for row in rows}
    assert any("channel_scale_plugin" in json.dumps(row["architecture"]) for row in rows)


def test_a_class_is_searched_by_its_path(tmp_path):
    (tmp_path / "mine.py").write_text(textwrap.dedent(MODULE))
    rows = _search(tmp_path, "mine:ChannelScale", tmp_path)
    assert {row["outcome"] for row in rows} == {"complete"}
    assert any(row["label"].startswith("uniform") for row in rows)
