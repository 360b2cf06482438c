"""Latency of an exported network against the same backbone without attention."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from chattn_nas.export.fold import fold_batchnorm
from chattn_nas.export.folder import open_folder
from chattn_nas.network import build_network
from chattn_nas.space import Architecture, StageChoice


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Median seconds per batch, in evaluation mode, float32.

    Attributes:
        network: As exported.
        folded: With BatchNorm folded into the convolutions.
        reference: The backbone without attention.
        folded_norms: Number of norms that folded.
        batch_size, device, threads: What the numbers depend on.
    """

    network: float
    folded: float
    reference: float
    folded_norms: int
    batch_size: int
    device: str
    threads: int

    @property
    def relative(self) -> float:
        """Latency as a multiple of the reference."""
        return self.network / self.reference


def bench_folder(
    path: Path | str, *, batch_size: int = 1, device: torch.device | str = "cpu", seconds: float = 2.0
) -> Latency:
    """Measure an exported folder.

    Args:
        path: Written by ``export_network`` with the format ``source``.
        batch_size: Images per batch.
        device: Where to run.
        seconds: Measuring time per network; the three take turns, so that a busy machine disturbs all alike.

    Raises:
        InputError: No exported folder, or its backbone cannot be built here.
    """
    folder = open_folder(path)
    images = torch.randn(batch_size, folder.in_chans, *folder.image_size, device=device)
    network = folder.network(device)
    with torch.no_grad():
        classes = network(images).shape[1]
    folded, norms = fold_batchnorm(network, images)
    architecture = folder.architecture
    height, width = folder.image_size
    plain = build_network(
        Architecture(architecture.backbone, (StageChoice(),)),
        num_classes=classes,
        in_chans=folder.in_chans,
        image_size=height if height == width else (height, width),  # type: ignore[arg-type]
        device=device,
    ).eval()
    medians = _alternate([network, folded, plain], images, seconds)
    return Latency(
        network=medians[0],
        folded=medians[1],
        reference=medians[2],
        folded_norms=norms,
        batch_size=batch_size,
        device=str(device),
        threads=torch.get_num_threads(),
    )


def _alternate(networks: list[nn.Module], images: torch.Tensor, seconds: float, rounds: int = 4) -> list[float]:
    """Smallest of the rounds' medians for each network: what another process steals only ever adds."""
    from torch.utils.benchmark import Timer  # here: importing it warns where nvcc is installed without a GPU

    best = [float("inf")] * len(networks)
    with torch.no_grad():
        for _ in range(rounds):
            for index, network in enumerate(networks):
                timer = Timer(
                    "network(images)",
                    globals={"network": network, "images": images},
                    num_threads=torch.get_num_threads(),
                )
                measured = timer.blocked_autorange(min_run_time=seconds / rounds)
                best[index] = min(best[index], measured.median)
    return best
