"""Trains again with smaller batches if memory is short."""

from __future__ import annotations

import logging

import torch
from torch import nn

from chattn_nas.data import Data
from chattn_nas.proxy._train import Report, train
from chattn_nas.proxy.measurement import Measurement
from chattn_nas.proxy.memory import free_caches, is_out_of_memory
from chattn_nas.proxy.settings import ProxySettings

log = logging.getLogger(__name__)


def train_within_memory(
    network: nn.Module,
    data: Data,
    settings: ProxySettings,
    *,
    seed: int,
    report: Report | None = None,
    device: torch.device | str | None = None,
) -> Measurement:
    """Train as ``train`` does; if memory is short, once more from the same start with every batch in two parts.

    The second attempt sees the same batches and follows their whole gradient, so its result is comparable with those of
    networks that fitted at once; only the statistics of BatchNorm are those of half a batch.

    Raises:
        torch.OutOfMemoryError: Half the batch does not fit either; other errors for the same reason are passed on.
    """
    start = {name: value.to("cpu", copy=True) for name, value in network.state_dict().items()}
    try:
        return train(network, data, settings, seed=seed, report=report, device=device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        log.warning("out of memory: once more at half the batch, gradients accumulated")
    network.zero_grad(set_to_none=True)
    free_caches()
    network.load_state_dict(start)
    return train(network, data, settings, seed=seed, report=report, device=device, accumulate=2)
