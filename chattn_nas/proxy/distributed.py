"""The processes that train one network together, one per device, as ``torchrun`` starts them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn

from chattn_nas.device import resolve_device
from chattn_nas.errors import InputError, ProcessLost, first_line
from chattn_nas.plural import plural

#: What torch warns of in every such training: a kernel of one pixel has no order of strides.
OF_NO_CONCERN = "Grad strides do not match bucket view strides"


@dataclass(frozen=True)
class DistributedContext:
    """One process of a distributed training: its rank, the number of processes, and its device."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    def alone(cls, device: torch.device) -> DistributedContext:
        """The only process."""
        return cls(0, 1, device)

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes have arrived here."""
        if self.size > 1:
            distributed.barrier()

    def wrap(self, network: nn.Module, *, changing: bool = False) -> nn.Module:
        """Wrap the network so that gradients are averaged over all processes.

        Args:
            network: On the device of this process.
            changing: Whether other parameters may take part from step to step; those that take part in no process keep
                the gradient ``None``. All that gradients come from has to be in the network's output.
        """
        if self.size == 1:
            return network
        # A static graph may hold parameters that get no gradient and modules that are called several times.
        return nn.parallel.DistributedDataParallel(
            network, device_ids=[self.device] if self.device.type == "cuda" else None, static_graph=not changing,
            find_unused_parameters=changing,
        )  # fmt: skip

    def share(self, batch_size: int) -> int:
        """The number of images of a batch for each process.

        Raises:
            InputError: The batch cannot be divided evenly.
        """
        refuse_uneven(batch_size, self.size)
        return batch_size // self.size

    def batch(self, batch_size: int, images: int) -> int:
        """Images per step of all processes together: as many as asked for, or as there are.

        Raises:
            InputError: The batch cannot be divided evenly, or there are fewer images than processes.
        """
        self.share(batch_size)
        if images < self.size:
            raise InputError(f"{plural(images, 'image')} cannot be divided among {self.size} processes")
        return min(batch_size, images // self.size * self.size)

    def mean(self, value: float) -> float:
        """The mean over all processes, the same in each."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return float(total) / self.size


def group_size() -> int:
    """The number of processes that ``torchrun`` started together; without it 1."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def refuse_uneven(batch_size: int, processes: int, where: tuple[str, ...] = ()) -> None:
    """Check that every one of several processes can take the same number of images from a batch.

    Raises:
        InputError: It cannot; ``where`` is the batch's place in the spec.
    """
    if batch_size % processes:
        raise InputError(
            f"a batch of {batch_size} cannot be divided among {processes} processes: take a multiple of {processes}",
            where=where,
        )


@contextmanager
def join_distributed(device: str) -> Iterator[DistributedContext]:
    """Join the processes that ``torchrun`` started; without it this is the only one.

    Args:
        device: As in the proxy's settings; each of several processes takes the GPU of its own rank.

    Raises:
        InputError: There is no such device, or no GPU for every process, or the processes do not find each other.
        ProcessLost: Another of the processes has ended.
    """
    size, own_device = group_size(), resolve_device(device)
    if size == 1:
        yield DistributedContext.alone(own_device)
        return
    if own_device.type == "cuda":
        own_device = _own_gpu()
        torch.cuda.set_device(own_device)
    elif own_device.type != "cpu":
        raise InputError(f"several processes train together on CPUs or on CUDA's GPUs, not on {own_device.type}")
    try:
        distributed.init_process_group("nccl" if own_device.type == "cuda" else "gloo")
    except (ValueError, RuntimeError) as error:
        raise InputError(f"the {size} processes do not find each other: {first_line(error)}") from error
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", OF_NO_CONCERN)
            yield DistributedContext(distributed.get_rank(), size, own_device)
    except Exception as error:
        if not (_of_a_lost_process(error) or _of_a_lost_process(error.__cause__)):
            raise
        raise ProcessLost(f"another of the {size} processes has ended, and with it the training") from error
    finally:
        distributed.destroy_process_group()


def _own_gpu() -> torch.device:
    rank, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if rank >= gpus:
        raise InputError(
            f"process {rank + 1} of this machine has no GPU, of which there {'is' if gpus == 1 else 'are'} {gpus}: "
            f"start no more than that (torchrun --nproc-per-node {gpus})"
        )
    return torch.device("cuda", rank)


def _of_a_lost_process(error: BaseException | None) -> bool:
    """Whether the exchange with another process has failed: Gloo has no class of its own for that."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
