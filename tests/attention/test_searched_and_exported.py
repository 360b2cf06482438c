"""Every type of this package that needs no other test for it is searched, confirmed and exported once, cheaply.

One search trains each alone in all stages for one epoch; one confirmation trains them again on two seeds; networks
that hold three types each are exported as source and proved without timm and without this package.
"""

import dataclasses

import pytest
import torch

from chattn_nas import attention, build_network
from chattn_nas.api import Run
from chattn_nas.attention import overview
from chattn_nas.export import Card, export_network
from chattn_nas.judging import confirm
from chattn_nas.search import search
from chattn_nas.space import Architecture, Backbone, StageChoice
from chattn_nas.spec import Spec

BACKBONE = {"model": "cifar_resnet8", "options": {"width": 16}}
SIZE = 16
#: Not their defaults, which ask for larger maps or more channels than the last stage has.
SETTINGS = {"fca": {"frequencies": "top4"}}
TYPES = [
    name
    for name in attention.names()
    if overview.is_ours(attention.get(name)) and name not in ("none", "random_gate", "channel_scale")
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    entries = [{name: SETTINGS[name]} if name in SETTINGS else name for name in TYPES]
    spec = Spec.from_dict({
        "name": "all",
        "backbone": BACKBONE,
        "data": {"dataset": "digits", "image_size": SIZE, "train_limit": 64},
        "space": {"all": ["none", *entries]},
        "proxy": {"rungs": [1], "device": "cpu", "batch_size": 64},
        "search": {"trials": len(TYPES) + 3, "workers": 0, "sampler": "random"},
    })  # fmt: skip
    return Run(search(spec, run=tmp_path_factory.mktemp("run") / "all", progress=False).directory)


def test_each_is_searched(run):
    rows = run.trials().set_index("label")
    assert set(rows.index) >= {f"uniform {name}" for name in TYPES}
    assert (rows["outcome"] == "complete").all(), rows[["outcome"]]


def test_each_is_confirmed(run):
    found = confirm(run, top=len(TYPES) + 2, seeds=2, epochs=1, workers=0, progress=False)
    confirmed = Run(run.directory / "confirm").trials()
    assert (confirmed["outcome"] == "complete").all()
    trained = " ".join(confirmed["architecture"].astype(str)) if "architecture" in confirmed else str(found.to_dict())
    for name in TYPES:
        assert name in trained


@pytest.mark.parametrize("names", [TYPES[i : i + 3] for i in range(0, len(TYPES), 3)], ids="-".join)
def test_each_is_exported_as_source(names, tmp_path):
    stages = [StageChoice(name, SETTINGS.get(name, {})) for name in names]
    stages += [StageChoice("none")] * (3 - len(stages))
    architecture = Architecture(Backbone(**BACKBONE), tuple(stages))
    network = build_network(architecture, in_chans=1, image_size=SIZE, seed=0)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    card = Card(name="a test", backbone="cifar_resnet8", dataset="noise", mean=(0.5,), std=(0.25,))
    written = export_network(
        network, architecture=architecture, out_dir=tmp_path / "out", num_classes=10, in_chans=1, image_size=SIZE,
        card=dataclasses.replace(card), formats=("source",),
    )  # fmt: skip
    text = (written.folder / "model.py").read_text()
    for name in names:
        assert f"class {attention.get(name).cls.__name__}(" in text
    assert written.max_difference < 1e-5
