"""The processes that train one network together, one per device, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn

from chattn_nas.errors import InputError
from chattn_nas.proxy import resolve_device


@dataclass(frozen=True)
class DistributedContext:
    """One process of a distributed training: its rank, the number of processes, and its device."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes have arrived here."""
        if self.size > 1:
            distributed.barrier()

    def wrap(self, network: nn.Module) -> nn.Module:
        """Wrap the network so that gradients are averaged over all processes."""
        if self.size == 1:
            return network
        # A static graph may hold parameters that get no gradient and modules that are called several times.
        return nn.parallel.DistributedDataParallel(
            network, device_ids=[self.device] if self.device.type == "cuda" else None, static_graph=True
        )

    def share(self, batch_size: int) -> int:
        """The number of images of a batch for each process.

        Raises:
            InputError: The batch cannot be divided evenly.
        """
        if batch_size % self.size:
            raise InputError(f"a batch of {batch_size} cannot be divided among {self.size} processes")
        return batch_size // self.size


@contextmanager
def join_distributed(device: str) -> Iterator[DistributedContext]:
    """Join the processes that ``torchrun`` started; without it this is the only one.

    Args:
        device: As in the proxy's settings; each of several processes takes the GPU of its own rank.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield DistributedContext(0, 1, resolve_device(device))
        return
    own_device = resolve_device(device)
    if own_device.type == "cuda":
        own_device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(own_device)
    distributed.init_process_group("nccl" if own_device.type == "cuda" else "gloo")
    try:
        yield DistributedContext(distributed.get_rank(), size, own_device)
    finally:
        distributed.destroy_process_group()
