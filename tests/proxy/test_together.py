"""Several processes on one batch: what each takes, what they refuse, and that their mean is the step of one."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from chattn_nas.attention import AuxiliaryHead
from chattn_nas.data import TensorSet
from chattn_nas.errors import InputError
from chattn_nas.proxy import DistributedContext, ProxySettings, join_distributed
from chattn_nas.proxy.mixing import BatchMixing
from chattn_nas.proxy.optimizer import build_optimizer
from chattn_nas.proxy.shared_step import SharedStep
from chattn_nas.proxy.step import TrainingStep
from chattn_nas.tasks import task_of
from chattn_nas.tasks.classification import LabelLoss

CPU = torch.device("cpu")


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    two = DistributedContext(0, 2, CPU)
    assert two.share(64) == 32
    for refused in (two.share, lambda size: two.batch(size, 1000)):
        with pytest.raises(InputError, match="batch of 65 cannot be divided among 2 processes: take a multiple of 2"):
            refused(65)


def test_a_batch_is_at_most_what_there_is() -> None:
    two = DistributedContext(0, 2, CPU)
    assert [two.batch(64, images) for images in (1000, 64, 63, 2)] == [64, 64, 62, 2]
    assert DistributedContext(0, 1, CPU).batch(64, 63) == 63
    with pytest.raises(InputError, match="1 image cannot be divided among 2 processes"):
        two.batch(64, 1)


@pytest.fixture
def second_of_two(monkeypatch):
    """As torchrun starts it, without the others."""
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("cuda", r"process 2 of this machine has no GPU, of which there is 1: .*--nproc-per-node 1"),
        ("mps", "on CPUs or on CUDA's GPUs, not on mps"),
        ("cpu", "the 2 processes do not find each other: .*MASTER_ADDR"),
    ],
)
def test_what_keeps_processes_from_training_together_is_one_sentence(second_of_two, monkeypatch, device, words) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr("chattn_nas.device._usable", lambda device: True)
    with pytest.raises(InputError, match=words), join_distributed(device):
        pass


LOSES = """
import os, sys
from chattn_nas.errors import ProcessLost
from chattn_nas.proxy import join_distributed
try:
    with join_distributed("cpu") as context:
        assert context.mean(context.rank) == 0.5
        if context.rank:
            os._exit(3)
        context.mean(0.0)
except ProcessLost as error:
    sys.exit(str(error))
"""


def test_a_process_that_loses_another_says_so() -> None:
    """Without torchrun, which would end it before it can speak."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                                "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}  # fmt: skip
    started = [
        subprocess.Popen([sys.executable, "-c", LOSES], env=environment | {"RANK": str(rank)}, stderr=subprocess.PIPE,
                         text=True)
        for rank in range(2)
    ]  # fmt: skip
    first, second = (one.communicate(timeout=120)[1] for one in started)
    assert "another of the 2 processes has ended, and with it the training" in first
    assert "Traceback" not in first
    assert [one.returncode for one in started] == [1, 3], second


class Head(AuxiliaryHead):
    loss_weight = 0.4

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)


class Small(nn.Module):
    """Without statistics of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(64, 10), Head()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.head(x.flatten(1))
        return self.fc(x.flatten(1))


class Alone(DistributedContext):
    """A process whose gradients are not averaged."""

    def wrap(self, network: nn.Module, *, changing: bool = False) -> nn.Module:
        assert changing
        return network


@pytest.mark.parametrize("what", ["plain", "class weights", "mixed"])
@pytest.mark.parametrize("size", [2, 4])
def test_the_mean_of_all_processes_is_the_step_of_one(data, what, size) -> None:
    task, network = task_of(data), Small().double()
    images = data.train.images[:16]
    batch = TensorSet(images, data.train.labels[:16])
    weights = torch.linspace(0.1, 3, 10, dtype=torch.float64) if what == "class weights" else None
    # In the loss float32 is what logits are brought to.
    criterion = LabelLoss(class_weights=None if weights is None else weights.float())

    def stepped(kind, *context):
        generator, own = torch.Generator().manual_seed(3), copy.deepcopy(network)
        mixing = BatchMixing(0.4, 1.0, 10) if what == "mixed" else None

        def prepare(batch: TensorSet):
            inputs, targets = task.prepare(batch, generator)
            inputs, targets = (inputs, targets) if mixing is None else mixing(inputs, targets, generator)
            return inputs.double(), targets

        optimizer = build_optimizer(own, ProxySettings())
        loss = kind(*context, own, optimizer, prepare, task=task, criterion=criterion)(batch)
        return float(loss), [one.grad for one in own.parameters()]

    loss, gradients = stepped(TrainingStep)
    each = [stepped(SharedStep, Alone(rank, size, CPU)) for rank in range(size)]
    assert len({one for one, _ in each}) == size, "they have different images"
    assert sum(one for one, _ in each) / size == pytest.approx(loss, rel=1e-6)
    for whole, *parts in zip(gradients, *(found for _, found in each)):
        torch.testing.assert_close(sum(parts) / size, whole, atol=1e-7, rtol=1e-4)
