"""A loss, an optimiser and a schedule of your own.

python docs/examples/own_loss.py
"""

# %% A loss takes what the network gives and the targets of a batch; nothing in it waits for the device.
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from chattn_nas import Spec, search


def focal(output: Tensor, targets: Tensor) -> Tensor:
    """Lin, Goyal, Girshick, He, Dollar, "Focal Loss for Dense Object Detection" (2017), gamma 2."""
    loss = F.cross_entropy(output.float(), targets, reduction="none")
    return ((1 - torch.exp(-loss)) ** 2 * loss).mean()


# %% An optimiser takes groups of parameters; a schedule gives the factor of the peak rate at a step of a rung.
class Nadam(torch.optim.NAdam):
    def __init__(self, groups: Any, lr: float, weight_decay: float) -> None:
        super().__init__(groups, lr=lr, weight_decay=weight_decay)


def linear(step: int, steps: int, warmup: float) -> float:
    return 1 - step / steps


# %%
SPEC = {
    "name": "own-loss",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 300},
    "space": {"all": ["none", "eca"]},
    "proxy": {
        "rungs": [1, 2], "device": "cpu", "learning_rate": 0.004, "loss": "own_loss:focal",
        "optimizer": "own_loss:Nadam", "scheduler": "own_loss:linear",
    },
    "search": {"trials": 5, "workers": 0},
}  # fmt: skip

# %%
if __name__ == "__main__":
    print(search(Spec.from_dict(SPEC), progress=False).best())
