"""Backbones of a user's own, as ``module:function``."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.drop_path = nn.Identity()

    def forward(self, x):
        return x + self.drop_path(self.conv2(self.conv1(x).relu()))


class Small(nn.Module):
    """Tells no stages, and has no ``device`` argument."""

    def __init__(self, num_classes, in_chans, width=8):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, width, 3, padding=1)
        self.layer1 = nn.Sequential(Block(width), Block(width))
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.layer2 = nn.Sequential(Block(2 * width))
        self.fc = nn.Linear(2 * width, num_classes)

    def forward(self, x):
        x = self.layer2(self.down(self.layer1(self.stem(x).relu()))).relu()
        return self.fc(x.mean((2, 3)))


def small(num_classes, in_chans, width=8):
    return Small(num_classes, in_chans, width)


def tells(num_classes, in_chans):
    """Tells its stages as timm's models do."""
    made = Small(num_classes, in_chans)
    made.feature_info = [{"module": "layer2", "num_chs": 16, "reduction": 2}]
    return made


def made_of_numbers(num_classes, in_chans=3):
    """Ignores the device it is built under."""
    return nn.Sequential(
        nn.Conv2d(in_chans, 8, 3, padding=1, device="cpu"), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, device="cpu"), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1, device="cpu"), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, num_classes, device="cpu"),
    )  # fmt: skip


def torchvision_resnet18(num_classes):
    from torchvision.models import resnet18

    return resnet18(num_classes=num_classes)


def no_module():
    return torch.zeros(3)


def three_logits(in_chans):
    return Small(3, in_chans)


def dead(num_classes, in_chans):
    """Nothing reaches the logits at the start: the last layer is zero."""
    made = Small(num_classes, in_chans)
    if made.fc.weight.device.type != "meta":
        nn.init.zeros_(made.fc.weight)
    return made
