"""Images per second of training, by where the images come from, interleaved in one run.

    resident    copied to the device, as the proxy holds sets that fit
    mapped      mapped from the cache on disk, batches read ahead, as it holds larger ones
    files       decoded anew for every batch by a DataLoader of torchvision's ImageFolder

    python scripts/benchmarks/data.py --images 1200 --size 64 --rounds 5

The images are JPEG photos of --pixels on a side, made for it; reading them into the cache is timed as well.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from chattn_nas.data import DataSettings, describe, load_data
from chattn_nas.network import build_network
from chattn_nas.proxy import ProxySettings, train
from chattn_nas.proxy.optimizer import build_optimizer
from chattn_nas.space import Architecture, Backbone

BATCH = 64


def photos(root: Path, count: int, pixels: int) -> None:
    """Two classes of noise that compresses as photos do."""
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        folder = root / "train" / ("ant" if number % 2 else "bee")
        folder.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(coarse).resize((pixels, pixels * 3 // 4), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:05d}.jpg", quality=85)


def network() -> torch.nn.Module:
    """A small one, so that reading counts."""
    return build_network(
        Architecture.uniform(Backbone("cifar_resnet8", {"width": 8}), "none"), num_classes=2, in_chans=3
    )


def ours(settings: DataSettings, place: str) -> Iterator[float]:
    """The proxy as it measures itself."""
    data = load_data(settings, data_on=place)  # type: ignore[arg-type]
    while True:
        measured = train(network(), data, ProxySettings(rungs=[1], batch_size=BATCH, device="cpu"), seed=0)
        assert measured.images_per_second is not None
        yield measured.images_per_second


def files(settings: DataSettings, workers: int) -> Iterator[float]:
    """As the tutorials write it."""
    size = settings.image_size
    chosen = transforms.Compose([
        transforms.Resize((size, size)), transforms.RandomCrop(size, padding=size // 8),
        transforms.RandomHorizontalFlip(), transforms.ToTensor(),
    ])  # fmt: skip
    loader = DataLoader(
        datasets.ImageFolder(f"{settings.path}/train", chosen), BATCH, shuffle=True, drop_last=True,
        num_workers=workers, persistent_workers=workers > 0,
    )  # fmt: skip
    model = network().train()
    optimizer = build_optimizer(model, ProxySettings(batch_size=BATCH))
    while True:
        begun, seen = time.perf_counter(), 0
        for images, labels in loader:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
            seen += len(labels)
        yield seen / (time.perf_counter() - begun)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--pixels", type=int, default=800)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        photos(Path(folder), arguments.images, arguments.pixels)
        settings = DataSettings(
            dataset="image_folder", path=folder, image_size=arguments.size, cache=f"{folder}/cache", validation=0.05
        )
        begun = time.perf_counter()
        describe(settings)
        reading = time.perf_counter() - begun
        print(f"{date.today()}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, one thread, "
              + ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "pillow")))  # fmt: skip
        print(f"{arguments.images:,} JPEGs of {arguments.pixels} px to {arguments.size} px, batch {BATCH}")
        print(f"reading them into the cache: {reading:.1f} s, {arguments.images / reading:,.0f} images/s\n")
        ways = {
            "resident": ours(settings, "device"),
            "mapped": ours(settings, "disk"),
            "files, DataLoader, no worker": files(settings, 0),
            f"files, DataLoader, {arguments.workers} workers": files(settings, arguments.workers),
        }
        found: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(arguments.rounds + 1):
            for way, rates in ways.items():
                rate = next(rates)
                if number:  # the first round warms up
                    found[way].append(rate)
        print("| images | images/s | of resident |\n|---|---:|---:|")
        for way, rates in found.items():
            share = median(rate / base for rate, base in zip(rates, found["resident"]))
            print(f"| {way} | {median(rates):,.0f} | {share:.2f} |")


if __name__ == "__main__":
    main()
