"""Trains and scores one network: schedule, rungs, step, evaluation."""

from chattn_nas.proxy.evaluate import evaluate
from chattn_nas.proxy.measurement import Measurement, Outcome, Rung
from chattn_nas.proxy.memory import free_caches, is_out_of_memory
from chattn_nas.proxy.retry import train_within_memory
from chattn_nas.proxy.settings import ProxySettings
from chattn_nas.proxy.train import Report, resolve_device, train

__all__ = [
    "Measurement",
    "Outcome",
    "ProxySettings",
    "Report",
    "Rung",
    "evaluate",
    "free_caches",
    "is_out_of_memory",
    "resolve_device",
    "train",
    "train_within_memory",
]
