"""Latency of an exported network against the same backbone without attention."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError
from chattn_nas.export.fold import fold_batchnorm
from chattn_nas.export.folder import open_folder
from chattn_nas.network import build_network, measure_latency
from chattn_nas.space import Architecture, StageChoice


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Median seconds per batch, in evaluation mode, float32.

    Attributes:
        network: Time of the network as exported.
        folded: Time with BatchNorm folded into the convolutions.
        reference: Time of the backbone without attention.
        folded_norms: Number of norms that were folded.
        batch_size, device, threads: Conditions of the measurement.
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


@checked
def bench_folder(
    path: Path | str, *, batch_size: int = 1, device: torch.device | str = "cpu", seconds: float = 2.0
) -> Timing:
    """Measure the latency of an exported folder.

    Args:
        path: Written by ``export_network`` with the format ``source``.
        batch_size: Images per batch.
        device: Device to run on.
        seconds: Measuring time per network; the three take turns, so that a busy machine affects them equally.

    Raises:
        InputError: It is no exported folder, its backbone cannot be built here, or there is no such device.
    """
    folder = open_folder(path)
    network = folder.network(device)
    images = torch.randn(batch_size, folder.in_chans, *folder.image_size, device=device)
    with torch.no_grad():
        output = folder.answers(network, images)
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise InputError(f"{path} holds no classifier: what it is without attention cannot be built from the folder")
    classes = output.shape[1]
    folded, norms = fold_batchnorm(network, images)
    architecture = folder.architecture
    plain = build_network(
        Architecture(architecture.backbone, (StageChoice(),)),
        num_classes=classes,
        in_chans=folder.in_chans,
        image_size=folder.image_size,
        device=device,
    ).eval()
    medians = [latency.median for latency in measure_latency([network, folded, plain], images, seconds=seconds)]
    return Timing(
        network=medians[0],
        folded=medians[1],
        reference=medians[2],
        folded_norms=norms,
        batch_size=batch_size,
        device=str(device),
        threads=torch.get_num_threads(),
    )
