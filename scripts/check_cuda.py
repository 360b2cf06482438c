#!/usr/bin/env python
"""What only a GPU can show: captured steps against eager ones, bits of repeated trainings, packing, memory formats.

Every attention, every task (on random data) and every kind of optimiser and recipe is trained captured and eagerly.

    python scripts/check_cuda.py [--data cifar10.npz] [--device cuda] [--out FILE.md]

``--part K N`` runs a share of them, for several processes at once; rates are then those of a shared GPU. Every line is
a check with what was seen; the exit code is 1 where one failed. On a CPU nothing is captured, so there the script only
proves that it runs.
"""

from __future__ import annotations

import argparse
import logging
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from chattn_nas import attention
from chattn_nas.data import Data, DataSettings, load_data
from chattn_nas.network import build_network
from chattn_nas.proxy import Measurement, ProxySettings, train
from chattn_nas.proxy.packed import train_packed
from chattn_nas.space import Architecture, Backbone

sys.path.append(str(Path(__file__).parent / "benchmarks"))
from tasks import CASES, case

BACKBONE = Backbone("cifar_resnet8", {"width": 16})
#: Recipes beside the default one.
RECIPES: dict[str, dict[str, Any]] = {
    **{
        name: {"optimizer": name, "learning_rate": 0.002}
        for name in ("adam", "adamw", "lion", "muon", "lamb", "nadamw", "rmsprop", "adan", "radam")
    },
    "mixup and cutmix": {"mixup": 0.2, "cutmix": 1.0, "loss": "bce"},
    "EMA and clipping": {"ema": 0.99, "clip": 1.0},
}


class Heard(logging.Handler):
    """Keeps what was logged: a capture that fails says so there."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(record.getMessage())


class Checks:
    """Runs every ``of``-th check from number ``part`` on, and collects their lines; ``only`` begins their names."""

    def __init__(self, part: int, of: int, only: Sequence[str] = ("",)) -> None:
        self.lines: list[str] = []
        self.failed, self.only = 0, tuple(only)
        self.number, self.part, self.of = -1, part, of

    def __call__(self, name: str, check: Callable[[], tuple[bool, str]]) -> None:
        """Run one; whatever it raises is a failure with its reason."""
        self.number += 1
        if self.number % self.of != self.part or not name.startswith(self.only):
            return
        begun = time.perf_counter()
        try:
            passed, seen = check()
        except Exception as error:  # the next check shall still run
            passed, seen = False, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        self.failed += not passed
        self.lines.append(f"| {name} | {'yes' if passed else '**no**'} | {seen} |")
        print(f"{'ok  ' if passed else 'FAIL'} {name}: {seen} ({time.perf_counter() - begun:.1f} s)", flush=True)


def main() -> None:
    """Run them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="an unpacked npz of colour images; the embedded digits by default")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--packs", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--part", type=int, nargs=2, default=[0, 1], metavar=("K", "N"), help="every N-th from K on")
    parser.add_argument("--only", nargs="+", default=[""], help="how the names of the checks begin")
    arguments = parser.parse_args()
    source = {"dataset": "npz", "path": arguments.data} if arguments.data else {"dataset": "digits"}
    data = load_data(DataSettings(image_size=16, train_limit=arguments.images, **source), device=arguments.device)
    checks, heard = Checks(*arguments.part, arguments.only), Heard()
    logging.getLogger("chattn_nas").addHandler(heard)

    def built(type: str = "none", seed: int = 0) -> nn.Module:
        return build_network(
            Architecture.uniform(BACKBONE, type), num_classes=data.num_classes, in_chans=data.in_chans,
            image_size=data.image_size, seed=seed,
        )  # fmt: skip

    def trained(type: str, captured: bool, **recipe: Any) -> Measurement:
        settings = ProxySettings(rungs=[1, 2], cuda_graphs=captured, **recipe)
        return train(built(type), data, settings, seed=0, device=arguments.device)

    for type in (name for name in attention.names() if not name.startswith("timm/")):
        checks(f"{type}: captured, and the same as eager", partial(_as_eager, partial(trained, type), heard))
    for recipe, settings in RECIPES.items():
        again = partial(trained, "se", **settings)
        checks(f"{recipe}: captured, and the same as eager", partial(_as_eager, again, heard))
    for task in CASES:
        again = partial(_task, task, arguments.device)
        checks(f"{task}: captured, and the same as eager", partial(_as_eager, again, heard))
    checks("se: two captured trainings are equal to the bit", partial(_repeatable, partial(trained, "se", True)))
    for count in arguments.packs:
        checks(f"{count} networks packed", partial(_packed, built, data, arguments.device, count))
    checks("channels_last pays", partial(_memory_format, built(), data, arguments.device))
    name = torch.cuda.get_device_name(0) if arguments.device.startswith("cuda") else platform.processor()
    header = (
        f"{date.today().isoformat()}, {name}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"timm {timm.__version__}\n\n    python {' '.join(sys.argv)}\n\n| check | passed | seen |\n|---|---|---|\n"
    )
    if arguments.out:
        arguments.out.write_text(f"# What was checked on a GPU\n\n{header}" + "\n".join(checks.lines) + "\n")
    sys.exit(checks.failed > 0)


def _task(name: str, device: str, captured: bool) -> Measurement:
    """A short training of the task by its own recipe."""
    data, settings, build = case(name)
    return train(build(), data, settings.model_copy(update={"cuda_graphs": captured}), seed=0, device=device)


def _as_eager(trained: Callable[[bool], Measurement], heard: Heard) -> tuple[bool, str]:
    heard.lines.clear()
    captured = trained(True)
    refused = [line for line in heard.lines if "eagerly" in line]
    eager = trained(False)
    same = captured.rungs == eager.rungs and captured.train_loss_sum == eager.train_loss_sum
    finite = captured.outcome == eager.outcome == "complete"
    gap = abs((captured.train_loss_sum or 0) - (eager.train_loss_sum or 0)) / (eager.train_loss_sum or 1)
    seen = (
        f"score {captured.score:.4f} captured, {eager.score:.4f} eager, losses differ by {gap:.1e}; "
        f"{captured.images_per_second:,.0f} against {eager.images_per_second:,.0f} images/s"
    )
    told = all("on the host" in line for line in refused)  # some optimisers count there, and are not captured
    return finite and told and (same or gap < 1e-3), "; ".join([seen, *refused])


def _repeatable(trained: Callable[[], Measurement]) -> tuple[bool, str]:
    first, second = trained(), trained()
    return first.rungs == second.rungs and first.train_loss_sum == second.train_loss_sum, (
        f"loss sums {first.train_loss_sum!r} and {second.train_loss_sum!r}"
    )


def _packed(built: Callable[..., nn.Module], data: Data, device: str, count: int) -> tuple[bool, str]:
    settings = ProxySettings(rungs=[3])
    alone = train(built("se"), data, settings, seed=0, device=device)
    begun = time.perf_counter()
    together = train_packed(
        [built("se", seed) for seed in range(count)], data, settings, seeds=list(range(count)), device=device
    )
    seconds = time.perf_counter() - begun
    speed = sum(measured.images_per_second or 0 for measured in together)
    gap = abs((together[0].train_loss_sum or 0) - (alone.train_loss_sum or 0)) / (alone.train_loss_sum or 1)
    single = alone.images_per_second or 1
    return gap < 1e-3, (
        f"{speed:,.0f} images/s together, {single:,.0f} alone ({speed / single:.2f}x); "
        f"{seconds:.1f} s with capture; the first network's losses differ by {gap:.1e} from those alone"
    )


def _memory_format(network: nn.Module, data: Data, device: str) -> tuple[bool, str]:
    images = data.train.images[:512].to(device).float()
    rates = {}
    for name, format in (("channels_last", torch.channels_last), ("default", torch.contiguous_format)):
        network.to(device).to(memory_format=format)
        batch = images.contiguous(memory_format=format)
        for number in range(30):
            if number == 10:
                _wait(device)
                begun = time.perf_counter()
            with torch.autocast("cuda", torch.bfloat16, enabled=device.startswith("cuda")):
                loss = network(batch).float().square().mean()
            loss.backward()
        _wait(device)
        rates[name] = 20 * len(batch) / (time.perf_counter() - begun)
    return True, ", ".join(f"{name} {rate:,.0f} images/s" for name, rate in rates.items())


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
