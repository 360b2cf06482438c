"""Places attention in a timm backbone, builds the network of an architecture, and counts its costs."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.network._cost import Cost as Cost
    from chattn_nas.network._cost import cost as cost
    from chattn_nas.network.build import build_network as build_network
    from chattn_nas.network.constraints import Constraint as Constraint
    from chattn_nas.network.features import FeatureExtractor as FeatureExtractor
    from chattn_nas.network.features import FeatureMap as FeatureMap
    from chattn_nas.network.features import feature_extractor as feature_extractor
    from chattn_nas.network.latency import Latency as Latency
    from chattn_nas.network.latency import measure_latency as measure_latency
    from chattn_nas.network.layout import stages as stages
    from chattn_nas.network.scaled import restore_scales as restore_scales
    from chattn_nas.network.settings import BackboneSettings as BackboneSettings
    from chattn_nas.network.start import SlotStart as SlotStart
    from chattn_nas.network.start import start_at_unit as start_at_unit

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        "._cost": "Cost cost",
        ".build": "build_network",
        ".constraints": "Constraint",
        ".features": "FeatureExtractor FeatureMap feature_extractor",
        ".latency": "Latency measure_latency",
        ".layout": "stages",
        ".scaled": "restore_scales",
        ".settings": "BackboneSettings",
        ".start": "SlotStart start_at_unit",
    },
)
