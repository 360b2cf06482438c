"""A supernet trained by one process or by several, and what each step leaves alone; a script of ``torchrun``."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from chattn_nas import tasks
from chattn_nas.network.supernet import Switch
from chattn_nas.proxy import DistributedContext, join_distributed
from chattn_nas.proxy.paths import steps_of, train_paths
from chattn_nas.search.one_shot.paths import balanced
from chattn_nas.search.one_shot.run import prepared_supernet
from chattn_nas.search.pooled.networks import Networks
from chattn_nas.spec import Spec


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(2, channels)
        self.drop_path = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + self.drop_path(self.norm(self.conv(x)))).relu()


class GroupNorms(nn.Module):
    """Without statistics of a batch: how many processes share one makes no difference."""

    def __init__(self, num_classes: int, in_chans: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_chans, 8, 3, padding=1)
        self.layer1 = nn.Sequential(Residual(8), Residual(8))
        self.down = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.layer2 = nn.Sequential(Residual(16))
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer2(self.down(self.layer1(self.stem(x)))).mean((2, 3)))


def group_norms(num_classes: int, in_chans: int) -> nn.Module:
    return GroupNorms(num_classes, in_chans)


SPEC = {
    "name": "together",
    "backbone": {"model": "supernet:group_norms"},
    "data": {"dataset": "digits", "image_size": 8, "train_limit": 256, "crop_padding": 1},
    "space": {"all": ["none", "se", "gct", "eca", "dia"]},
    "proxy": {"rungs": [2], "batch_size": 64, "device": "cpu", "mixup": 0.2, "clip": 1.0, "momentum": 0.9,
              "weight_decay": 0.01},
    "search": {"one_shot_epochs": 2},
}  # fmt: skip
#: With what several processes do not share: statistics of a batch, and the loss of an auxiliary head.
WITH_HEADS = SPEC | {"space": {"all": ["none", "enc_module"]}, "proxy": SPEC["proxy"] | {"mixup": 0.0}}


def idle(network: nn.Module) -> set[str]:
    """Names of the parameters of attentions that are not chosen."""
    return {
        f"{path}.choices.{key}.{name}"
        for path, switch in network.named_modules() if isinstance(switch, Switch)
        for key, module in switch.choices.items() if key != switch.active
        for name, _ in module.named_parameters()
    }  # fmt: skip


def train_supernet(context: DistributedContext, plain: dict = SPEC) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The weights and the loss of every epoch; what a step does not sample has no gradient and does not move."""
    spec = Spec.from_dict(plain)
    data = tasks.load(spec.task, spec.data)
    supernet, epochs = prepared_supernet(spec, data, 0), spec.search.one_shot_epochs
    sizes = Networks(spec.search_space()).sizes.tolist()
    paths = balanced(sizes, epochs * steps_of(data, spec.proxy), np.random.default_rng(0))
    network, losses, moved, rested = supernet.network, [], set(), set()
    before: dict[str, torch.Tensor] = {}

    def look() -> None:
        left = idle(network)
        for name, parameter in network.named_parameters():
            same = torch.equal(parameter, before[name])
            assert (parameter.grad is None) == (name in left), name
            assert same or name not in left, f"{name} has moved"
            if name in left and name in moved:
                rested.add(name)  # it had a momentum, and weight decay would have moved it
            if not same:
                moved.add(name)

    def choose(step: int) -> None:
        if step:
            look()
        supernet.select(paths[step].tolist())
        before.update({name: parameter.detach().clone() for name, parameter in network.named_parameters()})

    train_paths(network, data, spec.proxy, epochs=epochs, choose=choose, seed=0, context=context,
                after_epoch=lambda epoch, loss: losses.append(loss))  # fmt: skip
    look()
    assert moved == set(before), "everything was trained"
    assert len(rested) > 10
    return {name: value.detach() for name, value in network.state_dict().items()}, losses


if __name__ == "__main__":
    with join_distributed("cpu") as context:
        assert context.size == 2
        found = [train_supernet(context, plain) for plain in (SPEC, WITH_HEADS)]
        for state, losses in found:
            assert all(loss == loss for loss in losses)
            for name, value in state.items():
                gathered = [torch.empty_like(value) for _ in range(2)]
                torch.distributed.all_gather(gathered, value.contiguous())
                assert "running_" in name or torch.equal(*gathered), f"both processes hold the same {name}"
        if context.is_first:
            torch.save(found[0], Path(sys.argv[1]))
