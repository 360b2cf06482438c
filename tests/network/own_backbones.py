"""Backbones of a user's own, as ``module:function``."""

import warnings

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


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


class Checkpointed(Small):
    """Saves memory in the reentrant way, which leaves one node in the graph for all that it runs."""

    def run(self, layer, x):
        return checkpoint(layer, x, use_reentrant=True) if x.requires_grad else layer(x)

    def forward(self, x):
        x = self.run(self.layer1, self.stem(x))
        return self.fc(self.run(self.layer2, self.down(x)).mean((2, 3)))


def checkpointed(num_classes, in_chans):
    return Checkpointed(num_classes, in_chans)


def small(num_classes, in_chans, width=8):
    return Small(num_classes, in_chans, width)


def reads_rates(num_classes, in_chans, device=None):
    """Reads values of a tensor while it is built, as drop rates often are."""
    rates = [rate.item() for rate in torch.linspace(0, 0.1, 3, device=device)]
    made = Small(num_classes, in_chans)
    made.drop = nn.Dropout(rates[1])
    return made


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


class Gate(nn.Module):
    """Gives the gate alone, not the gated map."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return torch.sigmoid(self.conv(x.mean((2, 3), keepdim=True))).expand_as(x)


class GatedBlock(nn.Module):
    def __init__(self, channels, held):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.se = Gate(channels) if held else None

    def forward(self, x):
        y = self.conv2(self.conv1(x).relu())
        if self.se is not None:
            y = y * self.se(y)
        return x + y


def gates_alone(num_classes, in_chans, held=True):
    made = Small(num_classes, in_chans)
    made.layer1, made.layer2 = GatedBlock(8, held), GatedBlock(16, held)
    return made


class LastBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.linear = nn.Linear(channels, channels)
        self.drop_path = nn.Identity()

    def forward(self, x):
        return x + self.drop_path(self.linear(self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)))


class ChannelsLast(Small):
    def __init__(self, num_classes, in_chans):
        super().__init__(num_classes, in_chans)
        self.layer1 = nn.Sequential(LastBlock(8), LastBlock(8))
        self.layer2 = nn.Sequential(LastBlock(16))

    def forward(self, x):
        x = self.layer1(self.stem(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.fc(self.layer2(self.down(x).permute(0, 2, 3, 1)).mean((1, 2)))


def channels_last(num_classes, in_chans):
    return ChannelsLast(num_classes, in_chans)


class Branches(nn.Module):
    """Three convolutions beside each other, whose maps are concatenated."""

    def __init__(self, num_classes, in_chans):
        super().__init__()
        self.stem = nn.Conv2d(in_chans, 8, 3, padding=1)
        self.one = nn.ModuleList(nn.Conv2d(8, 4, size, padding=size // 2) for size in (1, 3, 5))
        self.two = nn.ModuleList(nn.Conv2d(12, 6, size, stride=2, padding=size // 2) for size in (1, 3, 5))
        self.fc = nn.Linear(18, num_classes)

    def forward(self, x):
        x = torch.cat([conv(self.stem(x)) for conv in self.one], 1).relu()
        return self.fc(torch.cat([conv(x) for conv in self.two], 1).relu().mean((2, 3)))


def branches(num_classes, in_chans):
    return Branches(num_classes, in_chans)


class Again(Small):
    def forward(self, x):
        x = self.layer1(self.layer1(self.stem(x)))
        return self.fc(self.layer2(self.layer2(self.down(x))).mean((2, 3)))


def again(num_classes, in_chans):
    return Again(num_classes, in_chans)


class Auxiliary(Small):
    def forward(self, x):
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


def auxiliary(num_classes, in_chans):
    return Auxiliary(num_classes, in_chans)


class Keeps(Small):
    def forward(self, x):
        self.kept = self.stem(x)
        return super().forward(x)


def keeps(num_classes, in_chans):
    return Keeps(num_classes, in_chans)


def lazy(num_classes):
    return nn.Sequential(nn.LazyConv2d(8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))


def halved(num_classes, in_chans):
    return Small(num_classes, in_chans).bfloat16()


def patched(num_classes, in_chans):
    made = Small(num_classes, in_chans)
    forward = made.forward
    made.forward = lambda x: forward(2 * x)
    return made


def scripted(num_classes, in_chans):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        return torch.jit.script(Small(num_classes, in_chans))


class Functional(nn.Module):
    def __init__(self, num_classes, in_chans):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8, in_chans, 3, 3))
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.fc(nn.functional.conv2d(x, self.weight).mean((2, 3)))


def functional(num_classes, in_chans):
    return Functional(num_classes, in_chans)


class AllConvolutional(nn.Module):
    """Its classifier is a convolution, whose map is averaged."""

    def __init__(self, num_classes, in_chans):
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(in_chans, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.two = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1))
        self.classifier = nn.Conv2d(16, num_classes, 1)

    def forward(self, x):
        return self.classifier(self.two(self.one(x).relu()).relu()).mean((2, 3))


def all_convolutional(num_classes, in_chans):
    return AllConvolutional(num_classes, in_chans)


class MakesLater(Small):
    def __init__(self, num_classes, in_chans):
        super().__init__(num_classes, in_chans)
        self.classes, self.head = num_classes, None

    def forward(self, x):
        x = self.layer2(self.down(self.layer1(self.stem(x)))).mean((2, 3))
        if self.head is None:
            self.head = nn.Linear(x.shape[1], self.classes, device=x.device)
        return self.head(x)


def makes_later(num_classes, in_chans):
    return MakesLater(num_classes, in_chans)


class Decides(Small):
    def __init__(self, num_classes, in_chans, by):
        super().__init__(num_classes, in_chans)
        self.by = by

    def forward(self, x):
        logits = super().forward(x)
        if self.by == "if":
            return 2 * logits if logits.mean() > 0 else logits
        if self.by == "mask":
            return logits[logits.sum(1) > -1e9]
        return logits + torch.from_numpy(logits.detach().numpy())


def decides(num_classes, in_chans, by):
    return Decides(num_classes, in_chans, by)


class Collects(Small):
    """Keeps a map of the forward pass in a dictionary, as hooks for features do."""

    def __init__(self, num_classes, in_chans):
        super().__init__(num_classes, in_chans)
        self.features = {}
        self.layer1.register_forward_hook(self.note)

    def note(self, _module, _args, output):
        self.features["layer1"] = output


def collects(num_classes, in_chans):
    return Collects(num_classes, in_chans)


def frozen(num_classes, in_chans):
    """All but the classifier is frozen."""
    made = Small(num_classes, in_chans).requires_grad_(False)
    made.fc.requires_grad_()
    return made


class FreezesItself(Small):
    """Freezes a stage whenever it is put into training mode, as detectors' own backbones do."""

    def train(self, mode=True):
        super().train(mode)
        self.layer1.requires_grad_(False)
        return self


def freezes_itself(num_classes, in_chans):
    return FreezesItself(num_classes, in_chans)


class Reads(Small):
    """Reads an attribute of its blocks."""

    def __init__(self, num_classes, in_chans):
        super().__init__(num_classes, in_chans)
        for block in (*self.layer1, *self.layer2):
            block.factor = 2.0

    def forward(self, x):
        x = self.stem(x).relu()
        for block in self.layer1:
            x = block(x) * block.factor
        x = self.down(x)
        for block in self.layer2:
            x = block(x) * block.factor
        return self.fc(x.relu().mean((2, 3)))


def reads(num_classes, in_chans):
    return Reads(num_classes, in_chans)


class Lists(Block):
    """Calls its convolutions from a list, past everything that takes their names."""

    def __init__(self, channels):
        super().__init__(channels)
        self.steps = [self.conv1, self.conv2]

    def forward(self, x):
        y = x
        for conv in self.steps:
            y = conv(y).relu()
        return x + self.drop_path(y)


def lists(num_classes, in_chans):
    made = Small(num_classes, in_chans)
    made.layer1, made.layer2 = nn.Sequential(Lists(8), Lists(8)), nn.Sequential(Lists(16))
    return made


class Plain(nn.Module):
    """A block without a slot."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x).relu()


def told_blocks(num_classes, in_chans):
    made = Reads(num_classes, in_chans)
    made.layer1, made.layer2 = nn.Sequential(Plain(8), Plain(8)), nn.Sequential(Plain(16))
    for block in (*made.layer1, *made.layer2):
        block.factor = 1.0
    return made


class Decoder(nn.Module):
    """One step of a U-Net's way back: takes two maps."""

    def __init__(self, channels):
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, channels // 2, 2, stride=2)
        self.conv = nn.Sequential(nn.Conv2d(channels, channels // 2, 3, padding=1), nn.ReLU())

    def forward(self, x, skip):
        return self.conv(torch.cat([skip, self.up(x)], 1))


class UNet(nn.Module):
    def __init__(self, num_classes, in_chans):
        super().__init__()
        self.inc = nn.Sequential(nn.Conv2d(in_chans, 8, 3, padding=1), nn.ReLU())
        self.down1 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
        self.down2 = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
        self.up1, self.up2 = Decoder(32), Decoder(16)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        one = self.inc(x)
        two = self.down1(one)
        return self.fc(self.up2(self.up1(self.down2(two), skip=two), one).mean((2, 3)))


def unet(num_classes, in_chans):
    return UNet(num_classes, in_chans)
