#!/usr/bin/env python
"""What a training loses beside one busy program, for some ways in which its threads wait for each other.

    python scripts/benchmarks/busy.py --rounds 3

Each row is a process of its own: milliseconds of a step of plain PyTorch on as many threads as there are cores, alone
and beside a program that keeps one core busy; the rows take turns, and the median of the rounds is printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

from chattn_nas.openmp import SPIN

NETWORKS = (("cifar_resnet8", 8, 64), ("mobilenetv3_small_100", 64, 128), ("resnet18", 64, 64))
WAYS = {
    "as OpenMP waits": {},
    f"GOMP_SPINCOUNT={SPIN} (ours)": {"GOMP_SPINCOUNT": SPIN},
    "GOMP_SPINCOUNT=5000": {"GOMP_SPINCOUNT": "5000"},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
BUSY = "while True: pass"


def measure(network: str, size: int, batch: int, seconds: float) -> None:
    """Print the mean milliseconds of a training step, in this process."""
    import timm
    import torch

    import chattn_nas.timm  # noqa: F401

    model = timm.create_model(network, num_classes=10)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    images, labels = torch.randn(batch, 3, size, size), torch.randint(0, 10, (batch,))
    taken = []
    deadline = time.perf_counter() + seconds
    while len(taken) < 4 or time.perf_counter() < deadline:
        begun = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        taken.append(time.perf_counter() - begun)
    print(1000 * statistics.fmean(taken[2:]))


def step(network: tuple[str, int, int], way: dict[str, str], seconds: float) -> float:
    """The milliseconds of a step in a process of that environment."""
    kept = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, __file__, "--seconds", str(seconds), "--measure", *map(str, network)]
    done = subprocess.run(command, env=kept | way, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure all rows in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--networks", nargs="+", default=[name for name, _, _ in NETWORKS])
    parser.add_argument("--measure", nargs=3, metavar=("NETWORK", "SIZE", "BATCH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        network, size, batch = arguments.measure
        measure(network, int(size), int(batch), arguments.seconds)
        return
    from chattn_nas.search.trainer import hardware  # not in the processes that are measured

    load = os.getloadavg()[0]
    rows: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(arguments.rounds):
        for network in (one for one in NETWORKS if one[0] in arguments.networks):
            for name, way in WAYS.items():
                alone = step(network, way, arguments.seconds)
                with subprocess.Popen([sys.executable, "-c", BUSY]) as other:
                    beside = step(network, way, arguments.seconds)
                    other.kill()
                rows.setdefault((network[0], name), []).append((alone, beside))
    print(f"{time.strftime('%Y-%m-%d')}, {hardware()}, load {load:.1f} before, torch {version('torch')}\n")
    print("| network | threads wait | alone, ms | beside a busy program, ms |\n| --- | --- | ---: | ---: |")
    for (network_name, name), taken in rows.items():
        alone, beside = (statistics.median(one[index] for one in taken) for index in (0, 1))
        print(f"| {network_name} | {name} | {alone:.0f} | {beside:.0f} |")


if __name__ == "__main__":
    main()
