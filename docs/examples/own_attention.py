"""An attention of your own in the race: one class that takes channels first.

python docs/examples/own_attention.py
"""

# %% The class: (B, C, H, W) to the same. Its arguments with a default are its settings.
import torch
from torch import Tensor, nn

from chattn_nas import Spec, search


class MaxGate(nn.Module):
    """Every channel gated by its largest value."""

    def __init__(self, channels: int, *, slope: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), slope))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.scale * x.amax((2, 3)) + self.shift)[:, :, None, None]


# %% The spec names it as module:Class, with two of its settings to choose from.
SPEC = {
    "name": "own-attention",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 300},
    "space": {"all": ["none", "se", {"own_attention:MaxGate": {"slope": [0.5, 1.0]}}]},
    "proxy": {"rungs": [1], "device": "cpu"},
    "search": {"trials": 7, "workers": 0},
}

# %% Costs are counted, places are tried, the baselines are in the race.
if __name__ == "__main__":
    run = search(Spec.from_dict(SPEC), progress=False)
    print(run.trials()[["architecture", "accuracy", "parameters"]])
    print(run.best())
