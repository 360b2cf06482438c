import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from chattn_nas import attention
from chattn_nas.attention import Hyperparameter, registry
from chattn_nas.errors import InputError


@pytest.fixture
def registered():
    """Types that a test registers go again."""
    before = dict(registry._types)
    yield attention.register
    registry._types.clear()
    registry._types.update(before)


def test_the_issue_s_types_are_there_with_their_defaults_first():
    defaults = {
        "se": {"reduction": 16, "bias": False, "squeeze": "avg", "gate": "sigmoid"},
        "fca": {"frequencies": "top16", "reduction": 16, "basis": "fixed"},
        "eca": {"gamma": 2, "b": 1, "kernel_size": None, "shared": True},
        "rcan": {"reduction": 16},
        "srm": {"styles": "mean+std", "norm": True},
        "gct": {"mode": "l2", "after_relu": False},
    }
    for name, values in defaults.items():
        assert attention.get(name).defaults == values
    assert len(attention.get("fca").hyperparameters["frequencies"].values) == 3 * 6


def test_every_type_tells_its_paper_and_its_docstring_the_equation():
    for name in attention.names():
        kind = attention.get(name)
        assert kind.title
        assert kind.year > 2010 or name in ("none", "random_gate", "channel_scale")
        if kind.year and not name.startswith("timm/"):
            text = " ".join(sys.modules[kind.cls.__module__].__doc__.split())
            assert f"({kind.year})" in text
            assert " = " in text, f"{name}: no equation"
            for word in ("Parameters", "MACs", "Official place", "Source"):
                assert word in text, f"{name}: no {word}"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: attention.build("see", 16), "unknown attention type 'see'; did you mean 'se'"),
        (lambda: attention.build("se", 16, reductoin=4), "did you mean 'reduction'"),
        (lambda: attention.build("se", 16, reduction=0), "reduction must be int >= 1, not 0"),
        (lambda: attention.build("se", 16, reduction=True), "reduction must be int >= 1, not True"),
        (lambda: attention.build("soca", 16, iterations=21), "iterations must be int from 1 to 20, not 21"),
        (
            lambda: attention.build("enc_module", 16, num_classes=3, se_loss_weight=float("nan")),
            "se_loss_weight must be float >= 0.0, not nan",
        ),
        (lambda: attention.build("se", 16, gate="relu"), "gate cannot be 'relu'"),
        (lambda: attention.build("eca", 16, kernel_size=4), "kernel_size must be odd, not 4"),
        (lambda: attention.build("fca", 16), "fca needs feature_size"),
        (
            lambda: attention.build("fca", 24, feature_size=(7, 7), frequencies="top16"),
            "fca cannot sit on 24 channels of 7x7: 24 channels cannot be divided among 16 frequencies",
        ),
        (lambda: attention.build("srm", 16, feature_size=(1, 1)), "needs a map larger than 1x1"),
        (lambda: attention.build("nowhere:Attention", 16), "cannot be imported"),
        (
            lambda: attention.build("torch.nn:ReLU", 16),
            "first argument of its constructor must be",
        ),
        (lambda: attention.build("torch.nn:Conv2d", 16), "needs out_channels, kernel_size besides channels"),
        (lambda: attention.build("torch:relu", 16), "nor a subclass of nn.Module"),
    ],
)
def test_what_is_impossible_is_refused_in_words(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_a_name_is_taken_once(registered):
    with pytest.raises(ValueError, match="already registered by"):

        @registered("se", title="another", year=2020, parameters=lambda *_: 0, macs=lambda *_: 0)
        class Another(nn.Module):
            pass


def test_a_refused_name_answers_with_its_reason(monkeypatch):
    monkeypatch.setattr(registry, "_refused", {})
    attention.refuse("broken", "it never worked")
    with pytest.raises(InputError, match="'broken' cannot be used: it never worked"):
        attention.get("broken")


def test_any_value_from_the_minimum_up():
    domain = Hyperparameter(None, 3, 5, minimum=1)
    for value in (None, 3, 11):
        domain.check("kernel_size", value)
    for value in (0, 3.0, "3"):
        with pytest.raises(InputError):
            domain.check("kernel_size", value)


PLUGIN = """
    import torch
    from torch import nn
    from chattn_nas.attention import Hyperparameter, register

    @register(
        "halving", title="Halving", year=2026, hyperparameters={"power": Hyperparameter(1, 2, minimum=1)},
        parameters=lambda c, size, values: c, macs=lambda c, size, values: 0,
    )
    class Halving(nn.Module):
        def __init__(self, channels, *, power=1):
            super().__init__()
            self.scale = nn.Parameter(torch.full((channels, 1, 1), 0.5**power))

        def forward(self, x):
            return x * self.scale.to(x.dtype)
"""


def _install(folder, package, source):
    """A distribution as an installer leaves it: the module, and the entry point in its dist-info."""
    (folder / f"{package}.py").write_text(textwrap.dedent(source))
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[chattn_nas.attention]\n{package} = {package}\n")


def test_plugins_are_found_and_a_broken_one_does_not_take_the_others_with_it(tmp_path):
    _install(tmp_path, "halving_attention", PLUGIN)
    _install(tmp_path, "broken_attention", "raise RuntimeError('no licence')")
    (tmp_path / "mine.py").write_text(textwrap.dedent(PLUGIN).replace("halving", "mine").replace("Halving", "Mine"))
    code = f"""
        import sys; sys.path.insert(0, {str(tmp_path)!r})
        import warnings
        import torch
        from chattn_nas import attention, Architecture
        from chattn_nas.testing.attention import battery
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert "halving" in attention.names() and "se" in attention.names()
        [text] = [str(c.message) for c in caught if "plugin" in str(c.message)]
        assert text == "attention plugin broken_attention = broken_attention cannot be loaded: no licence", text
        module = attention.build("halving", 4, power=2)
        assert torch.equal(module(torch.ones(1, 4, 2, 2)), torch.full((1, 4, 2, 2), 0.25))
        Architecture.uniform("resnet18", "halving", power=2)
        for conformance in battery("halving"):
            if conformance.check.__name__ != "exports_with_free_batch":
                conformance()
        assert attention.get("mine:Mine") is attention.get("mine")
        print(type(attention.build("mine:Mine", 4)).__name__)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Mine", done.stderr


def test_modules_leave_torch_s_defaults_alone():
    before = torch.get_default_dtype()
    for name in attention.names():
        if not name.startswith("timm/"):
            attention.build(name, 64, feature_size=(8, 8), num_classes=3)
    assert torch.get_default_dtype() == before
