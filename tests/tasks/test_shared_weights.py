"""Shared weights know every task: trained, scored, and by the names of the task's own networks."""

import math
import random

import pytest
import torch
import yaml
from task_data import masks, pictures

from chattn_nas import tasks
from chattn_nas.search.one_shot.run import predict, prepared_supernet
from chattn_nas.search.pooled.networks import Networks
from chattn_nas.search.trainer import build_prepared
from chattn_nas.spec import Spec

SPECS = {
    "segmentation": (masks, """\
name: tiny
backbone: {model: cifar_resnet8, options: {width: 8}}
data: {dataset: masks, image_size: 16, flip: true}
task: {type: segmentation, stride: 1, width: 8}
space: {all: [none, eca, {gct: {placement: before_convs}}, dia]}
proxy: {rungs: [1], batch_size: 8, device: cpu}
"""),
    "super_resolution": (pictures, """\
name: tiny
backbone: {model: rcan_tiny, options: {width: 4}}
data: {dataset: patches, image_size: 12}
task: {type: super_resolution}
space: {all: [none, rcan]}
proxy: {rungs: [1], batch_size: 8, device: cpu}
"""),
}  # fmt: skip


@pytest.mark.parametrize("task", SPECS)
def test_a_task_is_foretold_and_its_networks_are_found_in_the_supernet(task, tmp_path):
    make, text = SPECS[task]
    read = yaml.safe_load(text)
    read["data"] |= {"path": str(make(tmp_path / "data")), "cache": str(tmp_path / "cache")}
    spec = Spec.from_dict(read)
    found = predict(spec)
    assert math.isfinite(found.mean)
    assert found.mean < 0, "minus a loss"
    assert len(found.effects) == len(spec.search_space().stages)
    data = tasks.load(spec.task, spec.data)
    supernet, networks = prepared_supernet(spec, data, seed=0), Networks(spec.search_space())
    places = [random.Random(3).randrange(1, len(forms)) for forms in supernet.forms]
    supernet.select(places)
    own = build_prepared(spec, networks.architecture(places), seed=0, data=data, state=supernet.state(places))
    images = data.task.inputs(data.train[torch.arange(4)].images)
    assert torch.equal(own.eval()(images), supernet.network.eval()(images))
