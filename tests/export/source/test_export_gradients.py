"""Gradients of somebody's own are written, and the proof compares gradients, be they small."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.googlenet import GoogLeNetOutputs
from writing import IMAGES, assert_same

from chattn_nas.errors import ExportError
from chattn_nas.export.clean_process import CLEAN
from chattn_nas.export.proof import prove_source
from chattn_nas.export.source.writer import write_source

WIDTH = 1.0


class _Sign(torch.autograd.Function):
    """Binary activations, with the gradient passed straight through."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= WIDTH)


sign = _Sign.apply


class _Named(nn.Module):
    def forward(self, x):
        return _Sign.apply(x)


class _Alias(nn.Module):
    def forward(self, x):
        return sign(x)


class _HeldClass(nn.Module):
    def __init__(self):
        super().__init__()
        self.kind = _Sign

    def forward(self, x):
        return self.kind.apply(x)


class _HeldFunction(nn.Module):
    def __init__(self):
        super().__init__()
        self.run = _Sign.apply

    def forward(self, x):
        return self.run(x)


def _around(part):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), part, nn.Conv2d(8, 8, 3), nn.Flatten(1), nn.Linear(8 * 28 * 28, 10)
    )


@pytest.mark.parametrize("part", [_Named, _Alias, _HeldClass, _HeldFunction])
def test_a_gradient_of_ones_own_is_copied(part):
    assert "class _Sign(torch.autograd.Function)" in assert_same(_around(part()))


class _Types(nn.Module):
    """Asks its children's answers for their type, as code for several backbones does."""

    def __init__(self, body):
        super().__init__()
        self.body = body
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        x = self.body(x)
        if isinstance(x, dict):
            x = x["out"]
        elif isinstance(x, list | tuple):
            x = x[-1]
        if not isinstance(x, torch.Tensor):
            raise TypeError(type(x))
        return self.fc(x.mean((2, 3)))


class _Body(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.kind = kind

    def forward(self, x):
        if not isinstance(x, torch.Tensor):
            x = x[0]
        x = self.conv(x)
        return {"list": [x, x.relu()], "tuple": (x, x.relu()), "dict": {"in": x, "out": x.relu()}, "map": x}[self.kind]


@pytest.mark.parametrize("kind", ["list", "tuple", "dict", "map"])
def test_code_that_asks_for_types_goes_the_way_of_the_network(kind):
    assert_same(_Types(_Body(kind)))


class _Double(nn.Module):
    """The outputs of a layer with twice its gradient, all of them small."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 10)

    def forward(self, x):
        x = 1e-4 * self.fc(x.mean((2, 3)))
        return 2 * x - x.detach()


PLAIN = """
from pathlib import Path
import torch
from torch import nn
class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 10)
    def forward(self, x):
        return 1e-4 * self.fc(x.mean((2, 3)))
def load():
    network = Plain().eval()
    network.load_state_dict(torch.load(Path(__file__).with_name("weights.pt"), weights_only=True))
    return network
"""


def test_the_proof_sees_gradients_that_move_no_weight_far(tmp_path):
    network = _Double()
    (tmp_path / "model.py").write_text(PLAIN)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    CLEAN.start()
    with pytest.raises(ExportError, match=r"gradients"):
        prove_source(network, tmp_path, torch.randn(2, 3, 8, 8), max_difference=1e-5)


class _Skips(nn.Module):
    """Is left out by chance, in training; the first draws do not."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        if self.training and torch.rand(1).item() < 1e-3:
            return x
        return x + self.conv(x)


def test_a_layer_that_chance_leaves_out_is_not_written_as_it_happened_to_run():
    text = assert_same(nn.Sequential(_Skips(), nn.Flatten(1), nn.Linear(3 * 32 * 32, 10)))
    assert "torch.rand(1).item() < 0.001" in text


class _Foreign(nn.Module):
    """Uses a class of a package whose name begins as torch's does."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 10)

    def forward(self, x):
        x = self.fc(x.mean((2, 3)))
        return GoogLeNetOutputs(x, None, None) if self.training else x


def test_classes_of_torchvision_are_none_of_torch():
    with pytest.raises(ExportError, match=r"it calls torchvision\.models\.googlenet\.GoogLeNetOutputs"):
        write_source(_Foreign(), IMAGES)
