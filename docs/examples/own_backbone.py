"""A backbone of your own: a function that returns an nn.Module with a classifier.

python docs/examples/own_backbone.py
"""

# %% num_classes, in_chans and device are given where the function takes them, backbone.options besides.
from torch import Tensor, nn

from chattn_nas import Spec, search
from chattn_nas.network import stages


class Residual(nn.Module):
    """What sits at the end of the branch (``drop_path``, as timm calls it) is where attention goes."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.drop_path = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.drop_path(self.norm(self.conv(x)))).relu()


class Small(nn.Module):
    def __init__(self, num_classes: int, in_chans: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_chans, width, 3, padding=1)
        self.layer1 = nn.Sequential(Residual(width), Residual(width))
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.layer2 = nn.Sequential(Residual(2 * width))
        self.fc = nn.Linear(2 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer2(self.down(self.layer1(self.stem(x)))).mean((2, 3)))


def small(num_classes: int, in_chans: int, width: int = 8) -> nn.Module:
    return Small(num_classes, in_chans, width)


# %% Stages are found where the map shrinks; backbone.stages: [layer1, layer2] would tell them.
SPEC = {
    "name": "own-backbone",
    "backbone": {"model": "own_backbone:small", "options": {"width": 6}},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 300},
    "space": {"all": ["none", "eca"]},
    "proxy": {"rungs": [1], "device": "cpu", "drop_path": 0.1},
    "search": {"trials": 6, "workers": 0},
}

# %%
if __name__ == "__main__":
    spec = Spec.from_dict(SPEC)
    print([(stage.name, stage.blocks) for stage in stages(spec.backbone.backbone, in_chans=1, image_size=8)])
    print(search(spec, progress=False).best())
