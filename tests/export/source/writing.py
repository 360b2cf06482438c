"""Writes a network as source and builds it again, in this process."""

from __future__ import annotations

import copy
import tempfile

import torch

from chattn_nas.export import Card, Usage
from chattn_nas.export.card import Facts
from chattn_nas.export.model_file import model_text
from chattn_nas.export.proof import difference
from chattn_nas.export.source.writer import write_source
from chattn_nas.export.training_step import training_step

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def written(network, images=IMAGES):
    """The text, and the network that it builds, with the same weights."""
    source = write_source(network, images)
    text = model_text(source, Card(name="x", backbone="x"), Facts((), 10, 3, (32, 32), {}, "today"), Usage())
    with tempfile.TemporaryDirectory() as folder:
        torch.save(dict(source.tables), f"{folder}/tables.pt")
        space = {"__name__": "written", "__file__": f"{folder}/model.py"}
        exec(compile(text, "model.py", "exec"), space)
        built = space["build"]()
    built.load_state_dict(network.state_dict())
    return text, built


def assert_same(network, images=IMAGES):
    text, built = written(network, images)
    reference = copy.deepcopy(network)
    with torch.no_grad():
        assert torch.equal(built.eval()(images), copy.deepcopy(network).eval()(images))
    expected, found = training_step(reference, images), training_step(built, images)
    assert expected.keys() == found.keys()
    assert max(difference(value, found[name]) for name, value in expected.items()) == 0
    return text
