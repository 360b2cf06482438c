"""A plain nn.Module that nobody registered is raced as module:Class; what cannot be is told in one sentence."""

import textwrap

import pytest
import torch
from torch import nn

from chattn_nas import attention
from chattn_nas.api import Run
from chattn_nas.errors import InputError
from chattn_nas.search import search
from chattn_nas.spec import Spec

MODULE = """
    import torch
    from torch import nn

    class Plain(nn.Module):
        loss_weight = 0.5  # of its own: no auxiliary head

        def __init__(self, channels, width=4, act="relu", bias=True):
            super().__init__()
            self.one = nn.Conv2d(channels, width, 1, bias=bias)
            self.two = nn.Conv2d(width, channels, 1)

        def forward(self, x):
            return x * self.two(self.one(x)).sigmoid()

    class Sized(nn.Module):
        def __init__(self, dim, *, feature_size):
            super().__init__()
            self.map = nn.Parameter(torch.ones(*feature_size))

        def forward(self, x):
            return x * self.map

    class Halving(nn.Module):
        def __init__(self, channels):
            super().__init__()

        def forward(self, x):
            return x[:, ::2]

    class Frozen(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.mix = nn.Conv2d(channels, channels, 1)

        def forward(self, x):
            return self.mix(x).detach()

    class Needy(nn.Module):
        def __init__(self, channels, heads):
            super().__init__()

    class Late(nn.Module):
        def __init__(self, *, channels):
            super().__init__()

    def function(channels):
        return nn.Identity()
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    name = f"plain_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_what_registration_would_tell_is_counted(mine):
    kind = attention.get(f"{mine}:Plain")
    assert attention.get(f"{mine}:Plain") is kind
    assert kind.defaults == {"width": 4, "act": "relu", "bias": True}
    values = kind.complete({"width": 2})
    assert kind.parameters(16, (5, 7), values) == 16 * 2 + 2 + 2 * 16 + 16
    assert kind.macs(16, (5, 7), values) == 35 * 2 * 16 * 2
    assert (kind.title, kind.year) == ("", 0)
    module = attention.build(f"{mine}:Plain", 16, width=2)
    assert module.built.arguments == {"width": 2, "act": "relu", "bias": True}
    assert module(torch.zeros(1, 16, 3, 3)).shape == (1, 16, 3, 3)
    assert f"{mine}:Plain" not in attention.names()


def test_the_size_of_the_map_is_given_where_it_is_asked_for(mine):
    kind = attention.get(f"{mine}:Sized")
    assert kind.needs_feature_size
    assert kind.parameters(8, (5, 7), {}) == 35
    with pytest.raises(InputError, match="needs feature_size"):
        attention.build(f"{mine}:Sized", 8)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Needy", "its constructor needs heads besides channels"),
        ("Late", "the first argument of its constructor must be the number of channels"),
        ("function", "nor a subclass of nn.Module"),
        ("Missing", "has no 'Missing' that could be an attention"),
    ],
)
def test_what_cannot_be_raced_is_told(mine, name, message):
    with pytest.raises(InputError, match=message):
        attention.get(f"{mine}:{name}")


def test_wrong_values_and_wrong_shapes_are_told(mine):
    with pytest.raises(InputError, match="width must be int, not 'four'"):
        attention.build(f"{mine}:Plain", 16, width="four")
    with pytest.raises(InputError, match="did you mean 'width'"):
        attention.build(f"{mine}:Plain", 16, widht=4)
    with pytest.raises(InputError, match=r"turns the map \(2, 16, 2, 2\) into \(2, 8, 2, 2\)"):
        attention.build(f"{mine}:Halving", 16)
    with pytest.raises(InputError, match=r"no gradient passes it: it runs under torch\.no_grad"):
        attention.build(f"{mine}:Frozen", 16)


def test_it_is_searched_and_its_own_loss_weight_makes_it_no_auxiliary_head(mine, tmp_path):
    spec = Spec.from_dict({
        "name": "plain",
        "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
        "data": {"dataset": "digits", "image_size": 8, "train_limit": 128},
        "space": {"all": ["none", {f"{mine}:Plain": {"width": [2, 4]}}]},
        "proxy": {"rungs": [1], "device": "cpu"},
        "search": {"trials": 4, "workers": 0, "sampler": "random", "constraints": {"parameters": "<= 2x"}},
    })  # fmt: skip
    run = Run(search(spec, run=tmp_path / "plain", progress=False).directory)
    rows = run.trials().set_index("label")
    assert (rows["outcome"] == "complete").all()
    added = rows.loc[f"uniform {mine}:Plain", "parameters"] - rows.loc["none", "parameters"]
    kind = attention.get(f"{mine}:Plain")
    assert added == sum(kind.parameters(c, (s, s), kind.defaults) for c, s in ((8, 8), (16, 4), (32, 2)))


def test_the_marker_alone_makes_a_head():
    class Weighted(nn.Linear):
        loss_weight = 1.0

    assert not isinstance(Weighted(2, 2), attention.AuxiliaryHead)
    assert isinstance(attention.build("enc_module", 8, num_classes=3).head, attention.AuxiliaryHead)
