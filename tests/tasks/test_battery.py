"""The battery of tasks: ours pass it, so does one of a third party, and a wrong one fails."""

import re
from pathlib import Path

import pytest
import torch
from task_data import boxes, masks, pictures

from chattn_nas import tasks
from chattn_nas.data import DataSettings
from chattn_nas.errors import InputError
from chattn_nas.space import Backbone
from chattn_nas.spec import Spec
from chattn_nas.tasks.detection import DetectionSettings
from chattn_nas.tasks.segmentation import SegmentationSettings
from chattn_nas.tasks.super_resolution import SuperResolutionSettings
from chattn_nas.testing.task import CHECKS, battery

DOCS = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> dict[str, tasks.TaskData]:
    there = masks(tmp_path_factory.mktemp("masks"), images=8), pictures(tmp_path_factory.mktemp("pictures"), images=6)
    return {
        "classification": tasks.load(tasks.TaskSettings(), DataSettings(image_size=8, train_limit=64)),
        "segmentation": tasks.load(
            SegmentationSettings(stride=1, width=8), DataSettings(dataset="masks", path=str(there[0]), image_size=16)
        ),
        "detection": tasks.load(
            DetectionSettings(stride=2, width=8),
            DataSettings(dataset="coco", path=str(boxes(tmp_path_factory.mktemp("boxes"), images=8)), image_size=32),
        ),
        "super_resolution": tasks.load(
            SuperResolutionSettings(), DataSettings(dataset="patches", path=str(there[1]), image_size=12)
        ),
    }


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection", "super_resolution"])
def test_ours_pass(sets, task) -> None:
    backbone = Backbone("rcan_tiny", options={"width": 4}) if task == "super_resolution" else None
    checks = battery(sets[task], *([backbone] if backbone else []))
    assert len(checks) == len(CHECKS)
    for check in checks:
        check()


def test_the_task_of_the_page_on_extending_passes_and_is_found_by_its_path(tmp_path, monkeypatch) -> None:
    code = next(
        block
        for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
        if "(Task)" in block
    )
    (tmp_path / "my_task.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    spec = Spec.from_dict(
        {
            "name": "x", "backbone": {"model": "cifar_resnet8"}, "data": {"image_size": 8},
            "space": {"all": ["none", "se"]}, "task": {"type": "my_task:Brightness"},
        }
    )  # fmt: skip
    data = tasks.load(spec.task, spec.data)
    assert type(data.task).__name__ == "Brightness"
    for check in battery(data):
        check()


def test_a_head_that_is_drawn_from_the_global_state_fails(sets, monkeypatch) -> None:
    data = sets["segmentation"]

    def network(self, network, seed):
        return torch.nn.Sequential(network, torch.nn.Linear(data.num_classes, 1))

    monkeypatch.setattr(type(data.task), "network", network)
    check = next(one for one in battery(data) if "drawn under a seed" in one.name)
    with pytest.raises((AssertionError, AttributeError)):
        check()


@pytest.mark.parametrize("waits", [lambda x: float(x.sum()), lambda x: x[x > 0], lambda x: torch.tensor(x.shape)])
def test_a_scorer_that_waits_for_the_device_fails(sets, monkeypatch, waits) -> None:
    data = sets["segmentation"]
    scorer = type(data.task.scorer(1, torch.device("cpu")))
    add = scorer.add
    monkeypatch.setattr(scorer, "add", lambda self, output, *rest: (waits(output), add(self, output, *rest)))
    check = next(one for one in battery(data) if "leave the host alone" in one.name)
    with pytest.raises(AssertionError, match="a GPU could not capture this"):
        check()


def test_names_of_tasks() -> None:
    with pytest.raises(InputError, match="there is no task 'segmentatoin'") as error:
        tasks.find("segmentatoin")
    assert "segmentation" in error.value.choices
    with pytest.raises(InputError, match="cannot be imported"):
        tasks.find("nowhere:Task")
    with pytest.raises(InputError, match="is no task"):
        tasks.find("pathlib:Path")

    @tasks.register("brightness_of_test")
    class Mine(tasks.Task):
        pass

    assert tasks.find("brightness_of_test") is Mine
    with pytest.raises(InputError, match="there is a task 'segmentation' already"):
        tasks.register("segmentation")(Mine)


def test_a_spec_without_a_task_has_the_hash_it_had() -> None:
    fields = {
        "name": "x",
        "backbone": {"model": "cifar_resnet8"},
        "data": {"image_size": 8},
        "space": {"all": ["none", "se"]},
    }
    plain, told = Spec.from_dict(fields), Spec.from_dict(fields | {"task": {"type": "classification"}})
    assert plain.hash == told.hash
    other = Spec.from_dict(fields | {"task": {"type": "segmentation"}})
    assert other.hash != plain.hash
    assert other.proxy.optimizer == "adamw"
    assert "task.type" in other.differences(plain)
    assert Spec.from_stored(other.to_dict()).hash == other.hash
    changed = Spec.from_dict(fields | {"task": {"type": "segmentation", "width": 8}, "proxy": {"optimizer": "sgd"}})
    assert changed.hash != other.hash
    assert changed.proxy.optimizer == "sgd"
    with pytest.raises(InputError, match="unknown key 'widht'"):
        Spec.from_dict(fields | {"task": {"type": "segmentation", "widht": 8}})
