"""Trains and scores one network: schedule, rungs, step, evaluation."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.proxy._evaluate import evaluate
    from chattn_nas.proxy._train import Report, resolve_device, train
    from chattn_nas.proxy.measurement import Measurement, Outcome, Rung
    from chattn_nas.proxy.memory import free_caches, is_out_of_memory
    from chattn_nas.proxy.retry import train_within_memory
    from chattn_nas.proxy.settings import ProxySettings

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        "._evaluate": "evaluate",
        "._train": "Report resolve_device train",
        ".measurement": "Measurement Outcome Rung",
        ".memory": "free_caches is_out_of_memory",
        ".retry": "train_within_memory",
        ".settings": "ProxySettings",
    },
)
