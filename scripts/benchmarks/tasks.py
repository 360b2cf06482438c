"""Training images per second of every task against its floor: forward, backward and update on a batch that is ready.

    python scripts/benchmarks/tasks.py [--device cpu] [--rounds 5] [--task segmentation ...]

Both train the same network (head included) by the same optimiser on random images, in turns, so that a busy machine
disturbs both alike. What the proxy adds is drawing and preparing batches: order, crops, flips, masks that follow.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from chattn_nas import tasks
from chattn_nas.data import Augmentation, Data, TensorSet
from chattn_nas.network import build_network
from chattn_nas.proxy import ProxySettings, resolve_device, train
from chattn_nas.proxy.criterion import criterion_of
from chattn_nas.proxy.isolation import own_stream_and_state
from chattn_nas.proxy.optimizer import build_optimizer
from chattn_nas.proxy.step import autocast
from chattn_nas.space import Architecture, Backbone, StageChoice
from chattn_nas.tasks.detection import DetectionSettings
from chattn_nas.tasks.segmentation import SegmentationSettings
from chattn_nas.tasks.super_resolution import SuperResolutionSettings

#: Boxes of an image.
BOXES = 8
#: Settings, backbone, height and width in pixels, classes, batches of an epoch.
CASES = {
    "classification": (tasks.TaskSettings(), Backbone("cifar_resnet8"), (16, 16), 10, 16),
    "segmentation": (SegmentationSettings(), Backbone("mobilenetv3_small_050"), (90, 120), 11, 6),
    "detection": (DetectionSettings(), Backbone("mobilenetv3_small_050"), (120, 160), 3, 6),
    "super_resolution": (SuperResolutionSettings(), Backbone("rcan_tiny"), (24, 24), 0, 6),
}


def case(name: str) -> tuple[tasks.TaskData, ProxySettings, Callable[[], nn.Module]]:
    """Random data, the task's recipe, and what builds its network."""
    settings, backbone, size, classes, batches = CASES[name]
    recipe = {"batch_size": 128} if name == "classification" else dict(tasks.find(name).recipe)
    proxy = ProxySettings(rungs=[1], **recipe)
    count = batches * proxy.batch_size
    draw = torch.Generator().manual_seed(0)
    held = TensorSet(
        torch.randint(256, (count, 3, *size), generator=draw, dtype=torch.uint8),
        drawn_targets(name, count, size, classes, draw),
    )
    few = held[torch.arange(16)]
    data = tasks.of(settings, Data(
        train=held, validation=few, num_classes=classes, in_chans=3, image_size=size, mean=(0.5,) * 3, std=(0.25,) * 3,
        class_names=tuple(map(str, range(classes))), augmentation=Augmentation(min(size) // 8, True),
    ))  # fmt: skip

    def build() -> nn.Module:
        architecture = Architecture(backbone, (StageChoice(),))
        network = build_network(architecture, num_classes=classes or 1, image_size=size, seed=0)
        return data.task.network(network, 0)

    return data, proxy, build


def drawn_targets(name: str, count: int, size: tuple[int, int], classes: int, draw: torch.Generator) -> torch.Tensor:
    """Random ones."""
    height, width = size
    if name == "classification":
        return torch.randint(classes, (count,), generator=draw)
    if name == "segmentation":
        return torch.randint(classes, (count, height, width), generator=draw, dtype=torch.uint8)
    if name == "super_resolution":
        return torch.randint(256, (count, 3, 2 * height, 2 * width), generator=draw, dtype=torch.uint8)
    corner = torch.rand(count, BOXES, 2, generator=draw) * torch.tensor([width, height]) * 0.7
    side = torch.tensor([width, height]) * (0.1 + 0.2 * torch.rand(count, BOXES, 2, generator=draw))
    label = torch.randint(classes, (count, BOXES, 1), generator=draw)
    return torch.cat([corner, corner + side, label, torch.zeros(count, BOXES, 1)], 2)


def floor(name: str, device: torch.device) -> float:
    """Images per second of the bare step."""
    data, proxy, build = case(name)
    network = build().to(device).to(memory_format=torch.channels_last).train()
    optimizer, criterion = build_optimizer(network, proxy), criterion_of(data.task, proxy, device)
    batch = data.train[torch.arange(proxy.batch_size)].to(device)
    inputs, wanted = data.task.prepare(batch, torch.Generator(device))
    steps = len(data.train) // proxy.batch_size
    started = time.perf_counter()
    with own_stream_and_state(device, 0):
        for _ in range(steps):
            with autocast(device):
                output = network(inputs)
            loss = criterion(output, wanted)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        float(loss.detach())
    return steps * proxy.batch_size / (time.perf_counter() - started)


def ours(name: str, device: torch.device) -> float:
    """As the proxy measures itself."""
    data, proxy, build = case(name)
    found = train(build(), data, proxy, seed=0, device=device)
    assert found.images_per_second is not None
    return found.images_per_second


def main() -> None:
    """One row per task."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--task", nargs="+", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    device = resolve_device(given.device)
    print("| task | backbone | floor, images/s | proxy, images/s | of the floor |\n|---|---|---|---|---|")
    for name in given.task:
        pairs = [(floor(name, device), ours(name, device)) for _ in range(given.rounds + 1)][1:]
        share = median(mine / base for base, mine in pairs)
        base, mine = (median(rates) for rates in zip(*pairs, strict=True))
        print(f"| {name} | {CASES[name][1].model} | {base:,.0f} | {mine:,.0f} | {100 * share:.0f} % |", flush=True)


if __name__ == "__main__":
    main()
