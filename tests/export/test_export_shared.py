"""A module that several blocks use and one owns: DIA's cell, with a state that goes from block to block."""

from __future__ import annotations

import torch
from torch import nn

from chattn_nas.export import Card, export_network


class _Cell(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.cell = nn.LSTMCell(channels, channels)

    def forward(self, x, state=None):
        z = x.mean((2, 3))
        if state is None:
            state = (torch.zeros_like(z), torch.zeros_like(z))
        h, c = self.cell(z, state)
        return x * h[:, :, None, None].sigmoid(), (h, c)


class _Block(nn.Module):
    def __init__(self, channels, cell, owns):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels)
        if owns:
            self.cell = cell
        self.reference = (cell,)

    def forward(self, x, state=None):
        y, state = self.reference[0](self.bn(self.conv(x)), state)
        return x + y, state


class _Stage(nn.Sequential):
    def forward(self, x):
        state = None
        for block in self:
            x, state = block(x, state)
        return x


class _Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        cell = _Cell(8)
        self.stage = _Stage(*[_Block(8, cell, index == 0) for index in range(3)])
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        return self.fc(self.stage(self.stem(x)).mean((2, 3)))


class _Plain:
    stages = ("none",)

    def to_yaml(self):
        return "backbone: bare\n"


def test_a_shared_cell_is_built_once_and_keeps_its_name(tmp_path):
    torch.manual_seed(0)
    report = export_network(
        _Net(), architecture=_Plain(), out_dir=tmp_path, num_classes=10, in_chans=3, image_size=12,
        card=Card(name="shared", backbone="net"), formats=("source", "pt2"),
    )  # fmt: skip
    assert report.differences["evaluation"] == report.differences["training"] == report.differences["state"] == 0
    assert report.differences["pt2"] < 1e-6
    text = (tmp_path / "model.py").read_text()
    assert text.count("nn.LSTMCell(") == 1
    assert "stage.0.cell.cell.weight_ih" in torch.load(tmp_path / "weights.pt", weights_only=True)
