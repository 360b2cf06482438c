"""Whatever is somebody else's runs once before anything is written, and says where it fails."""

import sys
from types import ModuleType

import pytest
import torch
import yaml

from chattn_nas.errors import SpecError
from chattn_nas.search.preflight import try_out
from chattn_nas.spec import load_spec
from chattn_nas.spec.load import lines_of

SPEC = {
    "name": "rehearsed", "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8}, "space": {"all": ["none", "se"]}, "proxy": {"device": "cpu"},
    "search": {"workers": 0},
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_parts():
    """A module of the user's, half of which is wrong."""
    module = ModuleType("own_parts")
    module.loss = lambda output, targets: torch.nn.functional.cross_entropy(output, targets) * 2
    module.per_image = lambda output, targets: torch.nn.functional.cross_entropy(output, targets, reduction="none")
    module.infinite = lambda output, targets: output.square().sum() * float("inf")
    module.number = lambda output, targets: 0.5
    module.raises = lambda *values, **named: values[99]
    module.metric = lambda logits, targets: float((logits.argmax(1) == targets).float().mean())
    module.nan = lambda logits, targets: float("nan")
    module.augment = lambda images, generator: images.flip(3)
    module.shrinks = lambda images, generator: images[:1]
    module.Optimizer = lambda groups, lr, weight_decay: torch.optim.Adagrad(groups, lr=lr)
    module.NoOptimizer = lambda groups, lr, weight_decay: "none"
    sys.modules["own_parts"] = module
    yield
    del sys.modules["own_parts"]


def rehearse(path, section, key, value):
    path.write_text(yaml.safe_dump(SPEC | {section: SPEC[section] | {key: value}}, sort_keys=False))
    spec = load_spec(path)
    with lines_of(path):
        try_out(spec)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("proxy", "loss", "own_parts:loss"),
        ("proxy", "optimizer", "own_parts:Optimizer"),
        ("data", "metric", "own_parts:metric"),
        ("data", "augment", "own_parts:augment"),
        ("backbone", "freeze", ["stem", 1]),
    ],
)
def test_what_works_passes(tmp_path, section, key, value) -> None:
    rehearse(tmp_path / "spec.yaml", section, key, value)


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("proxy", "loss", "own_parts:per_image", r"proxy.loss: own_parts:per_image fails: TypeError: .*not a tensor"),
        ("proxy", "loss", "own_parts:number", "own_parts:number fails: .*not float"),
        ("proxy", "loss", "own_parts:raises", "own_parts:raises fails: IndexError: tuple index out of range"),
        ("proxy", "loss", "own_parts:infinite", r"own_parts:infinite fails: ValueError: the loss \(inf\), or its"),
        ("proxy", "loss", "own_parts:nothing", "own_parts has no 'nothing'"),
        ("proxy", "optimizer", "own_parts:raises", "optimiser 'own_parts:raises' cannot be made: IndexError"),
        ("proxy", "optimizer", "own_parts:NoOptimizer", "is a str, not a torch.optim.Optimizer"),
        ("data", "metric", "own_parts:raises", "data.metric: own_parts:raises fails: IndexError"),
        ("data", "metric", "own_parts:nan", "metric 'own_parts:nan' returned nan instead of a number"),
        ("data", "augment", "own_parts:raises", "data.augment: own_parts:raises fails: IndexError"),
        ("data", "augment", "own_parts:shrinks", "own_parts:shrinks fails: ValueError: it makes 1 image of 2"),
        ("backbone", "freeze", [7], "the backbone has no part 7 to freeze; possible: stem, 1, 2, 3"),
        ("backbone", "pretrained", True, "timm has no pretrained weights for cifar_resnet8: backbone.weights takes"),
    ],
)
def test_what_fails_is_one_sentence_with_its_line(tmp_path, section, key, value, message) -> None:
    path = tmp_path / "spec.yaml"
    with pytest.raises(SpecError, match=message) as caught:
        rehearse(path, section, key, value)
    lines = path.read_text().splitlines()
    assert "\n" not in str(caught.value)
    assert caught.value.line in [n for n, line in enumerate(lines, 1) if key in line or line.strip("- ") == "7"]


@pytest.mark.parametrize(("size", "type", "blamed"), [(8, "srm", "uniform srm"), (4, "se", "none")])
def test_a_batch_of_one_is_refused_where_a_norm_would_see_one_value(tmp_path, size, type, blamed):
    path = tmp_path / "spec.yaml"
    parts = {"data": {"dataset": "digits", "image_size": size}, "space": {"all": ["none", type]}}
    path.write_text(yaml.safe_dump(SPEC | parts | {"proxy": {"device": "cpu", "batch_size": 1}}))
    spec = load_spec(path)
    with pytest.raises(SpecError, match=f"{blamed} cannot be trained on batches of one image"), lines_of(path):
        try_out(spec)
