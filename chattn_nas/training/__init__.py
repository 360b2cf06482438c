"""Trains the chosen network at full length: the proxy's step, with checkpoints, a log and more augmentation."""

from typing import TYPE_CHECKING

from chattn_nas._lazy import hand_on

if TYPE_CHECKING:
    from chattn_nas.training.checkpoint import refuse_another as refuse_another
    from chattn_nas.training.of_run import final_training as final_training
    from chattn_nas.training.of_run import trained_weights as trained_weights
    from chattn_nas.training.result import WEIGHTS as WEIGHTS
    from chattn_nas.training.result import TrainingResult as TrainingResult
    from chattn_nas.training.result import read_result as read_result
    from chattn_nas.training.train import train_fully as train_fully
    from chattn_nas.training.training_data import load_training_data as load_training_data

__all__, __getattr__, __dir__ = hand_on(
    __name__,
    {
        ".checkpoint": "refuse_another",
        ".of_run": "final_training trained_weights",
        ".result": "TrainingResult WEIGHTS read_result",
        ".train": "train_fully",
        ".training_data": "load_training_data",
    },
)
