"""Trains the chosen network at full length: the proxy's step, with what a real training needs."""

from chattn_nas.training.checkpoint import refuse_another
from chattn_nas.training.material import load_material
from chattn_nas.training.result import WEIGHTS, TrainingResult, read_result
from chattn_nas.training.settings import TrainingSettings
from chattn_nas.training.train import train_fully
from chattn_nas.training.world import World, join_world

__all__ = [
    "WEIGHTS",
    "TrainingResult",
    "TrainingSettings",
    "World",
    "join_world",
    "load_material",
    "read_result",
    "refuse_another",
    "train_fully",
]
