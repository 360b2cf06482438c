"""Parts of the final training: shares of a batch, augmentation, several processes."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from chattn_nas import tasks
from chattn_nas.data import DataSettings, Normalize, TensorSet, load_data
from chattn_nas.proxy import DistributedContext, ProxySettings
from chattn_nas.proxy.mixing import mixing_of
from chattn_nas.spec import TrainingSettings
from chattn_nas.tasks import TaskSettings
from chattn_nas.training.prepare import Prepare

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the layer is imported by name, here and under torchrun

from layer import train_layer  # noqa: E402


@pytest.fixture
def batch() -> TensorSet:
    data = load_data(DataSettings(image_size=16))
    return TensorSet(data.train.images[:32], data.train.labels[:32])


def prepare(**settings) -> Prepare:
    task = tasks.load(TaskSettings(), DataSettings(image_size=16, crop_padding=0, flip=False)).task
    settings = TrainingSettings(**settings)
    return Prepare(settings, task, torch.Generator(), mixing_of(task, settings.recipe(ProxySettings()), "training"))


def test_plain_augmentation_is_the_proxys(batch) -> None:
    images, targets = prepare()(batch)
    data = load_data(DataSettings(image_size=16))
    assert torch.equal(images, Normalize(data, "cpu")(batch.images))
    assert torch.equal(targets, batch.labels)
    assert not prepare().draws_on_host


@pytest.mark.parametrize("settings", [{"randaugment": 2}, {"erasing": 1.0}, {"mixup": 0.5}])
def test_what_is_asked_for_is_done_under_its_seed(batch, settings) -> None:
    chosen = prepare(**settings)
    assert chosen.draws_on_host == ("mixup" not in settings)
    torch.manual_seed(1)
    chosen.generator.manual_seed(1)
    images, targets = chosen(batch)
    torch.manual_seed(1)
    chosen.generator.manual_seed(1)
    again, targets_again = chosen(batch)
    assert torch.equal(images, again)
    assert torch.equal(targets, targets_again)
    plain, labels = prepare()(batch)
    assert images.shape == plain.shape
    assert images.dtype == torch.float32
    changed = (images != plain).flatten(1).any(1).float().mean()
    assert changed > 0.5, "most images"
    if "mixup" in settings:
        assert targets.shape == (32, 10)
        torch.testing.assert_close(targets.sum(1), torch.ones(32))
        assert (targets.gather(1, labels[:, None]) > 0).all()
    else:
        assert torch.equal(targets, labels)
    if "erasing" in settings:
        assert (images == 0).flatten(1).float().mean(1).min() > 0.01, "every image has a hole"


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(tmp_path) -> None:
    alone = train_layer(DistributedContext(0, 1, torch.device("cpu")), tmp_path / "one")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         str(HERE / "two_processes.py"), str(tmp_path / "two")],
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}, capture_output=True, text=True,
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = safetensors.torch.load_file(tmp_path / "two" / "weights.safetensors")
    torch.testing.assert_close(found["1.weight"], alone[1].weight.detach(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found["1.bias"], alone[1].bias.detach(), atol=1e-5, rtol=1e-4)
    one, two = ((tmp_path / name / "log.csv").open() for name in ("one", "two"))
    with one, two:
        losses = [[float(row["train_loss"]) for row in csv.DictReader(file)] for file in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4), "of the whole batch, not of the first process's share"
