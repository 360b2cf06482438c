"""What one trial costs: images per second of training, four ways, interleaved in one run.

(a) floor    forward, backward and update on a batch that lies on the device already
(b) ours     the proxy's training, whole epochs: order, augmentation, schedule and all
(c) usual    DataLoader with torchvision's transforms over PIL images, a plain loop, workers as its documents advise
(d) timm     its create_loader with the augmentations that do not match switched off, the same plain loop

Every round runs every way once, so that what else the machine does falls on all of them; the table gives medians over
rounds of each way's rate and of its ratio to the floor of the same round. On a GPU (b) is measured eagerly as well.

    python scripts/benchmarks/trial.py --data cifar10.npz --rounds 7
    python scripts/benchmarks/trial.py --packing 1 2 4          # trials per hour by trials on one device at once
    python scripts/benchmarks/trial.py --device cuda --data cifar10.npz
    git worktree add ../before COMMIT; python scripts/benchmarks/trial.py --data cifar10.npz --against ../before

``--against`` measures (b) alone, of this version and of another checkout, each in a process of its own, one epoch of
one after one of the other. Without --data the images are the embedded digits, which are grey and few.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np
import timm
import torch
from PIL import Image
from scipy import stats
from timm.data import create_loader
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from chattn_nas.data import Data, DataSettings, Normalize, load_data
from chattn_nas.network import cifar  # noqa: F401 (importing registers our networks with timm)
from chattn_nas.proxy import ProxySettings, train
from chattn_nas.proxy.isolation import own_stream_and_state
from chattn_nas.proxy.optimizer import build_optimizer
from chattn_nas.proxy.step import autocast

#: Network, pixels, batch size.
CPU = (("cifar_resnet8", 16, 128), ("cifar_resnet20", 32, 128))
CUDA = tuple((name, 32, batch) for name in ("cifar_resnet20", "cifar_resnet56", "resnet18") for batch in (512, 1024))


def network(name: str, data: Data) -> nn.Module:
    """The backbone; a ResNet-18 gets a stem for small images."""
    torch.manual_seed(0)
    built: nn.Module = timm.create_model(name, in_chans=data.in_chans, num_classes=data.num_classes)
    if name == "resnet18":
        built.conv1 = nn.Conv2d(data.in_chans, 64, 3, padding=1, bias=False)
        built.maxpool = nn.Identity()
    return built.train()


class Pictures(Dataset):  # type: ignore[type-arg]
    """The training images as PIL holds them."""

    def __init__(self, data: Data, transform: Callable[[Image.Image], Tensor] | None = None) -> None:
        arrays = data.train.images.permute(0, 2, 3, 1).cpu().numpy()
        self.images = [Image.fromarray(image.squeeze()) for image in arrays]
        self.labels = data.train.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index]
        return (self.transform(image) if self.transform else image), self.labels[index]


def usual_loader(data: Data, batch: int, workers: int, device: torch.device) -> DataLoader:  # type: ignore[type-arg]
    """As the tutorials write it."""
    chosen = [
        transforms.RandomCrop(data.image_size, padding=data.augmentation.crop_padding),
        *([transforms.RandomHorizontalFlip()] if data.augmentation.flip else []),
        transforms.ToTensor(),
        transforms.Normalize(data.mean, data.std),
    ]
    return DataLoader(
        Pictures(data, transforms.Compose(chosen)), batch, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0, pin_memory=device.type == "cuda",
    )  # fmt: skip


def timm_loader(data: Data, batch: int, workers: int, device: torch.device) -> DataLoader:  # type: ignore[type-arg]
    """timm's, whose random crop is of the full size here."""
    return create_loader(
        Pictures(data), input_size=(data.in_chans, data.image_size, data.image_size), batch_size=batch,
        is_training=True, scale=(1.0, 1.0), ratio=(1.0, 1.0), hflip=0.5 if data.augmentation.flip else 0.0,
        color_jitter=0.0, mean=data.mean, std=data.std, num_workers=workers, device=device,
        persistent_workers=workers > 0, pin_memory=device.type == "cuda",
    )  # fmt: skip


def loop(name: str, data: Data, loader: DataLoader, device: torch.device) -> Iterator[float]:  # type: ignore[type-arg]
    """The plain loop: images per second of one epoch after another."""
    model = network(name, data).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    while True:
        started, seen = time.perf_counter(), 0
        for images, labels in loader:
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            with autocast(device):
                loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(labels)
        _wait(device)
        yield seen / (time.perf_counter() - started)


def floor(name: str, data: Data, batch: int, device: torch.device) -> Iterator[float]:
    """Nothing but the network and its update."""
    model = network(name, data).to(device).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(model, ProxySettings(batch_size=batch))
    images = Normalize(data, device)(data.train.images[:batch].to(device))
    labels = data.train.labels[:batch].to(device)
    steps = len(data.train) // batch
    while True:
        started = time.perf_counter()
        for _ in range(steps):
            with autocast(device):
                logits = model(images)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        _wait(device)
        yield steps * batch / (time.perf_counter() - started)


def ours(name: str, data: Data, batch: int, device: torch.device, *, eager: bool = False) -> Iterator[float]:
    """The proxy: as it measures itself, the time of whole epochs, validation apart."""
    settings = ProxySettings(rungs=[1], batch_size=batch, cuda_graphs=not eager)
    while True:
        measured = train(network(name, data), data, settings, seed=0, device=device)
        assert measured.images_per_second is not None
        yield measured.images_per_second


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def compare(name: str, data: Data, batch: int, device: torch.device, rounds: int, workers: int) -> None:
    """One table."""
    ways: dict[str, Iterator[float]] = {
        "floor": floor(name, data, batch, device),
        "ours": ours(name, data, batch, device),
        "usual, no worker": loop(name, data, usual_loader(data, batch, 0, device), device),
        f"usual, {workers} workers": loop(name, data, usual_loader(data, batch, workers, device), device),
        f"timm, {workers} workers": loop(name, data, timm_loader(data, batch, workers, device), device),
    }
    if device.type == "cuda":
        ways["ours, eager"] = ours(name, data, batch, device, eager=True)
    found: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, rates in ways.items():
            rate = next(rates)
            if number:  # the first round warms up
                found[way].append(rate)
    print(f"\n{name}, {data.image_size} px, batch {batch}, {len(data.train):,} images an epoch\n")
    print("| way | images/s | of the floor | ours is faster by |")
    print("|---|---:|---:|---:|")
    for way, rates in found.items():
        to_floor = median(rate / base for rate, base in zip(rates, found["floor"]))
        faster = median(base / rate for rate, base in zip(rates, found["ours"]))
        print(f"| {way} | {median(rates):,.0f} | {to_floor:.3f} | {faster:.2f} |", flush=True)


def capture_time(name: str, data: Data, batch: int, device: torch.device) -> float:
    """Seconds of capturing one training step."""
    from chattn_nas.proxy import capture

    spent = []

    def timed(self: capture.Replayed) -> None:
        _wait(device)
        started = time.perf_counter()
        before = self.replay
        plain(self)
        if self.replay is not before:
            _wait(device)
            spent.append(time.perf_counter() - started)

    plain = capture.Replayed.__call__
    with mock.patch.object(capture.Replayed, "__call__", timed):
        train(network(name, data), data, ProxySettings(rungs=[1], batch_size=batch), seed=0, device=device)
    return max(spent, default=float("nan"))


def one_trial(settings: DataSettings, name: str, batch: int, device: str, threads: int, seed: int) -> None:
    """A trial in a worker process: one epoch, data and imports once per worker."""
    torch.set_num_threads(threads)
    key = settings.model_dump_json()
    data = _HELD.setdefault(key, None) or load_data(settings, device=device)
    _HELD[key] = data
    train(network(name, data), data, ProxySettings(rungs=[1], batch_size=batch), seed=seed, device=device)


_HELD: dict[str, Data | None] = {}


def packing(settings: DataSettings, name: str, batch: int, device: str, counts: list[int], trials: int) -> None:
    """Trials per hour of 1, 2, ... workers on one device; on a CPU they divide its threads."""
    print(f"\n{name}, {settings.image_size} px, batch {batch}, trials of one epoch\n")
    print("| workers | trials per hour |\n|---:|---:|")
    for count in counts:
        threads = max(1, (os.cpu_count() or 1) // count)
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            arguments = (settings, name, batch, device, threads)
            list(pool.map(one_trial, *([a] * count * 2 for a in arguments), range(count * 2)))  # starts and warms up
            started = time.perf_counter()
            list(pool.map(one_trial, *([a] * trials for a in arguments), range(trials)))
            print(f"| {count} | {3600 * trials / (time.perf_counter() - started):,.0f} |", flush=True)


def serve(name: str, data: Data, batch: int, device: torch.device) -> None:
    """Print the rate of one epoch after another, one for each line that is read."""
    rates = ours(name, data, batch, device)
    for _ in sys.stdin:
        print(next(rates), flush=True)


def against(folder: Path, name: str, pixels: int, batch: int, rounds: int) -> None:
    """One table: this version beside the one in ``folder``, by this script, whose order changes from round to round."""
    here = Path(__file__).resolve().parents[2]
    processes = {
        label: subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--networks", name, "--serve"], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(checkout)},
        )
        for label, checkout in (("before", folder.resolve()), ("now", here))
    }  # fmt: skip
    found: dict[str, list[float]] = {label: [] for label in processes}
    for number in range(rounds + 1):
        for label in sorted(processes, reverse=number % 2 == 1):
            stdin, stdout = processes[label].stdin, processes[label].stdout
            assert stdin is not None
            assert stdout is not None
            print(file=stdin, flush=True)
            rate = float(stdout.readline())
            if number:  # the first round warms up
                found[label].append(rate)
    for process in processes.values():
        process.communicate()
    ratios = np.array(found["now"]) / np.array(found["before"])
    low, high = (float(np.sort(ratios)[place]) for place in stats.binom.ppf((0.025, 0.975), rounds, 0.5).astype(int))
    print(f"\n{name}, {pixels} px, batch {batch}, {rounds} rounds\n")
    print("| before, images/s | now, images/s | now / before, median | its 95 % interval |\n|---:|---:|---:|---:|")
    before, now = median(found["before"]), median(found["now"])
    print(f"| {before:,.0f} | {now:,.0f} | {np.median(ratios):.3f} | {low:.3f} to {high:.3f} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="an .npz of uint8 x_train, y_train, x_test, y_test")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--images", type=int, default=2560, help="training images per epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of torch, on a CPU")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="of the loaders")
    parser.add_argument("--networks", nargs="+", help="only these")
    parser.add_argument("--packing", type=int, nargs="+", help="trials at once; nothing else is measured then")
    parser.add_argument("--trials", type=int, default=12, help="trials per number of workers, with --packing")
    parser.add_argument("--against", type=Path, help="a checkout of another version; only the proxy is measured then")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.basicConfig()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{_cpu()}, {os.cpu_count()} cores"
    if not arguments.serve:
        print(f"{date.today()}, {where}, {arguments.threads} threads, Python {platform.python_version()}, "
              + ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "timm")))  # fmt: skip
    if device.type != "cuda" and not arguments.serve:
        print("Not measured on a GPU.")
    for name, pixels, batch in CUDA if device.type == "cuda" else CPU:
        if arguments.networks and name not in arguments.networks:
            continue
        if arguments.against and not arguments.serve:
            against(arguments.against, name, pixels, batch, arguments.rounds)
            continue
        source = {"dataset": "npz", "path": arguments.data} if arguments.data else {"dataset": "digits"}
        settings = DataSettings(image_size=pixels, train_limit=arguments.images, **source)
        if arguments.packing:
            packing(settings, name, batch, arguments.device, arguments.packing, arguments.trials)
            continue
        data = load_data(settings, device=device)
        if arguments.serve:
            serve(name, data, batch, device)
            continue
        with own_stream_and_state(device, 0):
            compare(name, data, batch, device, arguments.rounds, arguments.workers)
        if device.type == "cuda":
            print(f"\nCapture of a step: {capture_time(name, data, batch, device):.2f} s")


def _cpu() -> str:
    """The processor's name as the kernel gives it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
