"""A training without statistics of a batch: how many processes share it makes no difference."""

import torch
from torch import nn

from chattn_nas.data import DataSettings
from chattn_nas.proxy import ProxySettings
from chattn_nas.spec import TrainingSettings
from chattn_nas.tasks import TaskSettings
from chattn_nas.training import load_training_data, train_fully


def train_layer(context, directory) -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    settings = TrainingSettings(epochs=2, clip=0.5)
    proxy = ProxySettings(batch_size=64, learning_rate=0.02, device="cpu")
    data = DataSettings(image_size=8, train_limit=256, crop_padding=0)
    train_fully(
        network, load_training_data(TaskSettings(), data, settings, context.device), settings.recipe(proxy), seed=0,
        directory=directory, plan={}, context=context,
    )  # fmt: skip
    return network
