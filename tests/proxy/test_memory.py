"""Short memory: once more from the start in two parts per batch."""

import copy
import time

import pytest
import torch
from torch import nn

from chattn_nas.data import DataSettings, TensorSet, load_data
from chattn_nas.proxy import is_out_of_memory, train, train_within_memory
from chattn_nas.proxy.memory import PeakMemory
from chattn_nas.proxy.optimizer import build_optimizer
from chattn_nas.proxy.settings import ProxySettings
from chattn_nas.proxy.step import TrainingStep
from chattn_nas.tasks import task_of
from chattn_nas.tasks.classification import LabelLoss


class Short(nn.Module):
    """A network on a device that holds so many images at once."""

    def __init__(self, network, room: int, after: int = 0) -> None:
        super().__init__()
        self.network, self.room, self.left = network, room, after

    def forward(self, x):
        self.left -= self.training
        if self.training and self.left < 0 and len(x) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return self.network(x)


def test_half_the_batch_is_tried_from_the_same_start(data, build, settings) -> None:
    expected = train(build(), data, settings, seed=2, accumulate=2)
    told = []
    found = train_within_memory(
        Short(build(), room=32, after=7), data, settings, seed=2, report=lambda *rung: bool(told.append(rung))
    )
    assert found.accumulate == 2
    assert found.rungs == expected.rungs
    assert [index for index, _ in told] == [0, 0, 1], "the memory ran short in the second rung"


def test_a_network_that_fits_is_trained_once(data, build, settings) -> None:
    found = train_within_memory(build(), data, settings, seed=2)
    assert found.accumulate == 1
    assert found.rungs == train(build(), data, settings, seed=2).rungs


def test_what_does_not_fit_in_halves_either_is_out_of_memory(data, build, settings) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        train_within_memory(Short(build(), room=31), data, settings, seed=2)


def test_other_errors_are_not_tried_again(data, settings) -> None:
    calls = []

    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            calls.append(len(x))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        train_within_memory(Broken(), data, settings, seed=0)
    assert len(calls) == 1


def test_ways_to_say_it() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert is_out_of_memory(
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
    )
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


@pytest.mark.parametrize("criterion", [LabelLoss(0.1), nn.CrossEntropyLoss()], ids=["ours", "torch's"])
@pytest.mark.parametrize("accumulate", [2, 3])
def test_parts_give_the_gradient_of_the_whole(accumulate, criterion) -> None:
    torch.manual_seed(0)
    whole = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double()
    parts = copy.deepcopy(whole)
    batch = TensorSet(torch.randint(256, (10, 1, 8, 8), dtype=torch.uint8), torch.randint(10, (10,)))

    def prepare(batch):
        return batch.images.double() / 255, batch.labels

    task = task_of(load_data(DataSettings(image_size=8)))
    losses = [
        TrainingStep(
            network,
            build_optimizer(network, ProxySettings()),
            prepare,
            task=task,
            criterion=criterion,
            accumulate=number,
        )(batch)
        for network, number in ((whole, 1), (parts, accumulate))
    ]
    torch.testing.assert_close(losses[1], losses[0])
    torch.testing.assert_close(parts[1].weight.grad, whole[1].weight.grad)


def test_the_peak_is_that_of_its_own_training() -> None:
    held = 300 * 2**20

    def used(size: int) -> int:
        with PeakMemory(torch.device("cpu")) as memory:
            block = torch.ones(size, dtype=torch.uint8)
            time.sleep(0.1)  # longer than between two looks
            del block
        return memory.bytes

    before = used(1)
    assert used(held) == pytest.approx(before + held, rel=0.1)
    assert used(1) < before + held / 2, "what an earlier training needed is not counted again"
