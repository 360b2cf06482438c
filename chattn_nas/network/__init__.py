"""Where attention sits in a timm backbone; the network of an architecture; what it costs."""

from chattn_nas.network.build import build_network
from chattn_nas.network.constraints import Constraint
from chattn_nas.network.cost import Cost, cost
from chattn_nas.network.latency import Latency, measure_latency
from chattn_nas.network.layout import stages
from chattn_nas.network.settings import BackboneSettings
from chattn_nas.network.start import SlotStart, StartName, restore_scales, start_at_unit

__all__ = [
    "BackboneSettings",
    "Constraint",
    "Cost",
    "Latency",
    "SlotStart",
    "StartName",
    "build_network",
    "cost",
    "measure_latency",
    "restore_scales",
    "stages",
    "start_at_unit",
]
