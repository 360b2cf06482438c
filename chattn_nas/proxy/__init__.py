"""Trains and scores one network: schedule, rungs, step, evaluation."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.device import resolve_device as resolve_device
    from chattn_nas.proxy._evaluate import Evaluation as Evaluation
    from chattn_nas.proxy._evaluate import evaluate as evaluate
    from chattn_nas.proxy._train import Report as Report
    from chattn_nas.proxy._train import train as train
    from chattn_nas.proxy.distributed import DistributedContext as DistributedContext
    from chattn_nas.proxy.distributed import join_distributed as join_distributed
    from chattn_nas.proxy.measurement import Measurement as Measurement
    from chattn_nas.proxy.measurement import Outcome as Outcome
    from chattn_nas.proxy.measurement import Rung as Rung
    from chattn_nas.proxy.memory import free_caches as free_caches
    from chattn_nas.proxy.memory import is_out_of_memory as is_out_of_memory
    from chattn_nas.proxy.retry import train_within_memory as train_within_memory
    from chattn_nas.proxy.settings import ProxySettings as ProxySettings

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        "chattn_nas.device": "resolve_device",
        "._evaluate": "Evaluation evaluate",
        "._train": "Report train",
        ".distributed": "DistributedContext join_distributed",
        ".measurement": "Measurement Outcome Rung",
        ".memory": "free_caches is_out_of_memory",
        ".retry": "train_within_memory",
        ".settings": "ProxySettings",
    },
)
