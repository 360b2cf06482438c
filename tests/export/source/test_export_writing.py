"""The parts of the source writer, each on a module small enough to read; compared in this process."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from writing import assert_same, written

from chattn_nas.errors import ExportError
from chattn_nas.export import Card, export_network
from chattn_nas.export.source.format_calls import problem_on_oldest
from chattn_nas.export.source.layout import layout, number
from chattn_nas.export.source.leaf import leaf_call
from chattn_nas.space import Architecture, Backbone, StageChoice

_log = logging.getLogger(__name__)


@pytest.mark.parametrize(
    ("module", "call"),
    [
        (nn.AvgPool2d(3, 2, count_include_pad=False), "nn.AvgPool2d(3, stride=2, count_include_pad=False)"),
        (nn.Conv2d(4, 8, (1, 3), padding=(0, 1), groups=2), "nn.Conv2d(4, 8, (1, 3), padding=(0, 1), groups=2)"),
        (nn.Conv2d(4, 8, 3, padding="same"), 'nn.Conv2d(4, 8, 3, padding="same")'),
        (nn.BatchNorm2d(8, eps=1e-3, momentum=None), "nn.BatchNorm2d(8, eps=0.001, momentum=None)"),
        (nn.LayerNorm(8, bias=False), "nn.LayerNorm((8,), bias=False)"),
        (nn.LSTM(4, 8, 2, bidirectional=True), "nn.LSTM(4, 8, num_layers=2, bidirectional=True)"),
        (nn.MultiheadAttention(8, 2, bias=False), "nn.MultiheadAttention(8, 2, bias=False)"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), 'nn.Upsample(scale_factor=2.0, mode="bilinear")'),
        (nn.GELU(approximate="tanh"), 'nn.GELU(approximate="tanh")'),
        (nn.Sigmoid(), "nn.Sigmoid()"),
    ],
)
def test_constructor_calls(module, call):
    assert layout(leaf_call(module)).strip() == call


class _Functional(nn.Module):
    """Plain tensor code: sizes, in-place, slices, a flag that follows the mode."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.conv = nn.Conv2d(3, 10, 3)
        self.scale = nn.Parameter(torch.full((10, 1, 1), 0.5))
        self.register_buffer("table", torch.arange(10.0).view(10, 1, 1), persistent=False)
        self.dropout = dropout

    def forward(self, x):
        B, _, H, W = x.shape
        y = self.conv(x[:, :, 1:, : W - 1])
        y = y.reshape(B, -1, (H - 3) * (W - 3)).view(B, 10, H - 3, W - 3)
        z = y * self.scale
        z += self.table
        y = F.dropout(z * 2 + y, self.dropout, self.training)
        return -(y.mean((2, 3)) ** 2)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_tensor_code(dropout):
    text = assert_same(_Functional(dropout))
    assert ("self.training" in text) == (dropout > 0)


class _Mode(nn.Module):
    """Takes another way in training, so that it cannot be traced."""

    def __init__(self, flag):
        super().__init__()
        self.fc = nn.Linear(3, 10)
        self.flag = flag

    def forward(self, x):
        x = x.mean((2, 3))
        if self.flag and self.training:
            x = x + torch.rand_like(x)
        if self.flag is None:
            raise RuntimeError("never")
        return _double(self.fc(x))


def _double(x):
    return x * 2


def test_what_differs_in_training_is_copied_and_reduced():
    text = assert_same(_Mode(True))
    assert "if self.training:" in text
    assert "never" not in text
    assert "def _double(x):" in text
    assert "def _double" not in assert_same(_Mode(False))


class _Mutating(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 10)
        self.calls = 0

    def forward(self, x):
        if x.sum() > 1e9:
            self.calls += 1
        return self.fc(x.mean((2, 3)))


def test_a_module_that_changes_itself_is_refused():
    with pytest.raises(ExportError, match=r"changes self\.calls.*pt2"):
        written(nn.Sequential(_Mutating()))


class _Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 10)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.calls = 0

    def forward(self, x):
        if self.training:
            self.steps += 1
        return self.fc(x.mean((2, 3))) / (1 + self.steps)


class _CountingTwice(_Counting):
    def forward(self, x):
        self.calls += 1
        return super().forward(x)


def test_a_buffer_that_counts_is_written():
    assert "self.steps += 1" in assert_same(nn.Sequential(_Counting()))


def test_a_refused_network_is_left_as_it_was():
    network = _CountingTwice()
    with pytest.raises(ExportError, match=r"changes self\.calls"):
        written(nn.Sequential(network))
    assert torch.is_tensor(network.steps)
    assert network.calls == 1  # the call that is recorded


class _Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def test_blocks_that_differ_in_a_constant_share_a_class():
    network = nn.Sequential(_Scaled(2.0), _Scaled(3.0), nn.Flatten(), nn.Linear(3072, 10))
    text = assert_same(network)
    assert text.count("\nclass ") == 1
    assert "_Scaled(factor=3.0)" in text


class _Parts(nn.ModuleDict):
    """Numbered children, a setting, and a method of the container."""

    def __init__(self, sizes):
        super().__init__({str(index): nn.Conv2d(size, size, 1) for index, size in enumerate(sizes)})
        self.sizes = sizes

    def forward(self, x):
        parts = torch.split(x, self.sizes, 1)
        return torch.cat([conv(parts[index]) for index, conv in enumerate(self.values())], 1)


class _Many(nn.Module):
    """More maps at once than there are short names for them."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(9))

    def forward(self, x):
        maps = [x]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        return torch.cat(maps, 1)


def test_containers_keep_their_children_and_their_methods():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), _Parts([1, 3]), _Parts([2, 2]), _Many(), nn.Flatten(), nn.Linear(40960, 10)
    )
    text = assert_same(network)
    assert '_Parts({"0": nn.Conv2d(2, 2, 1), "1": nn.Conv2d(2, 2, 1)}, sizes=[2, 2])' in text
    assert "layers5 = self.layers[5](" in text


class _Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("order", torch.randperm(3072), persistent=False)
        self.fc = nn.Linear(3072, 10)

    def forward(self, x):
        return self.fc(x.flatten(1)[:, self.order])


def test_a_large_constant_lies_beside_the_source(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(_Table())
    text = assert_same(network)
    assert 'order=table("0.order")' in text
    report = export_network(
        network, architecture=Architecture(Backbone("bare"), (StageChoice(),)), out_dir=tmp_path, num_classes=10,
        in_chans=3, image_size=32, card=Card(name="table", backbone="bare"), formats=("source",),
    )  # fmt: skip
    assert report.max_difference == 0
    assert "tables.pt" in report.files


class _Step(nn.Module):
    def __init__(self, has_skip):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.has_skip = has_skip

    def forward(self, x):
        return self.conv(x) + x if self.has_skip else self.conv(x)


def test_classes_are_told_apart_by_the_setting_in_which_they_differ():
    text = assert_same(nn.Sequential(_Step(False), _Step(True), nn.Flatten(), nn.Linear(3072, 10)))
    assert "class _Step(nn.Module)" in text
    assert "class _StepSkip(nn.Module)" in text


def test_layout_breaks_long_lines_as_ruff_does():
    long = "x = function(" + ", ".join(f"argument_{i}=nn.Conv2d({i}, 64, 3)" for i in range(8)) + ")\n"
    text = layout(long + "y = 'single'\n")
    assert max(len(line) for line in text.splitlines()) <= 120
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "120", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert done.stdout == text


def test_numbers_are_written_short():
    assert [number(1e-5), number(0.001), number(2.0), number(1e20)] == ["1e-5", "0.001", "2.0", "1e20"]


class _Raising(nn.Module):
    """A message with a setting that is a string, in which two modules differ."""

    def __init__(self, mode):
        super().__init__()
        self.mode = mode
        self.fc = nn.Linear(3, 10)

    def forward(self, x):
        x = x.mean((2, 3))
        if self.training and not torch.isfinite(x).all():
            _log.warning("%s has met %s", self.mode, x)
            warnings.warn("what is not finite", stacklevel=2)
            raise ValueError(f"{self.mode} cannot take {x.shape!r:>10}")
        return self.fc(x)


def test_an_f_string_becomes_a_call_that_every_python_reads():
    text = assert_same(nn.Sequential(_Raising("max")))
    assert "warn" not in text
    assert 'raise ValueError("{} cannot take {!r:>10}".format("max", x.shape))' in text


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters and aliases are syntax of Python 3.12")
def test_type_parameters_and_aliases_are_left_out(tmp_path, monkeypatch):
    (tmp_path / "generic_backbone.py").write_text(
        """
from torch import nn

type Shape = tuple[int, int]

def first[T](items: tuple[T, ...]) -> T:
    return items[0]

class Box[T: nn.Module](nn.Module):
    def __init__(self, inner: T) -> None:
        super().__init__()
        self.inner: T = inner

    def forward(self, x):
        size: Shape = x.shape[-2:]
        if first(size) < 1:
            raise ValueError(f"{"x".join(str(one) for one in size)} is empty")
        return self.inner(x.mean((2, 3)))
"""
    )
    monkeypatch.syspath_prepend(tmp_path)
    box = importlib.import_module("generic_backbone").Box
    text = assert_same(nn.Sequential(box[nn.Linear](nn.Linear(3, 10))))
    assert "def first(items):" in text
    assert not problem_on_oldest(text)


class _Twice(nn.Module):
    """One child under two names."""

    def __init__(self):
        super().__init__()
        self.first = self.second = nn.Conv2d(3, 3, 1)
        self.fc = nn.Linear(3, 10)

    def forward(self, x):
        return self.fc(self.second(self.first(x)).mean((2, 3)))


def test_a_child_of_two_names_is_built_once():
    text = assert_same(nn.Sequential(_Twice()))
    assert text.count("nn.Conv2d(") == 1
    assert "first=module_0_first, second=module_0_first" in text


class _Tied(nn.Module):
    """Two convolutions of one weight, which is also a row of a list."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.two.weight = self.one.weight
        self.scales = nn.ParameterList([self.one.bias])
        self.fc = nn.Linear(3, 10)

    def forward(self, x):
        x = self.two(self.one(x)) * self.scales[0].view(-1, 1, 1)
        return self.fc(x.mean((2, 3)))


def test_a_parameter_of_several_modules_stays_one():
    text = assert_same(nn.Sequential(_Tied()))
    assert "network[0].two.weight = network[0].one.weight" in text
    assert "network[0].scales[0] = network[0].one.bias" in text


class _Checkpointed(nn.Module):
    """Computes its layers again for the gradients, where BatchNorm counts the batch a second time."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 10, 3), nn.BatchNorm2d(10), nn.ReLU())

    def forward(self, x):
        x = checkpoint(self.layers, x, use_reentrant=False) if self.training else self.layers(x)
        return x.mean((2, 3))


def test_checkpointing_is_left_out():
    assert "checkpoint" not in assert_same(_Checkpointed()).partition("def forward(self, x)")[2]


class _Transformed(nn.Module):
    def forward(self, x):
        x = torch.fft.irfft2(torch.fft.rfft2(x), s=x.shape[-2:])
        return torch.special.erf(torch.linalg.vector_norm(x, dim=(2, 3)))


def test_functions_of_torchs_own_rooms_are_named_as_they_are_imported():
    text = assert_same(nn.Sequential(nn.Conv2d(3, 3, 1), _Transformed()))
    for name in ("torch.fft.rfft2(", "torch.special.erf(", "torch.linalg.vector_norm("):
        assert name in text


def test_stochastic_depth_of_torchvision_is_written():
    ops = pytest.importorskip("torchvision.ops")
    text = assert_same(nn.Sequential(nn.Conv2d(3, 10, 3), ops.StochasticDepth(0.5, "row"), nn.AdaptiveAvgPool2d(1)))
    assert "log_api_usage" not in text
