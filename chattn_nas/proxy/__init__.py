"""Trains and scores one network: schedule, rungs, step, evaluation."""

from chattn_nas.proxy.measurement import Measurement, Outcome, Rung
from chattn_nas.proxy.settings import ProxySettings
from chattn_nas.proxy.train import Report, evaluate, resolve_device, train

__all__ = ["Measurement", "Outcome", "ProxySettings", "Report", "Rung", "evaluate", "resolve_device", "train"]
