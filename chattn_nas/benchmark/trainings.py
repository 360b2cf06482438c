"""Trains given networks, many at once on one device, for the rows of a long table.

Unlike the table of a whole space, which a search builds (:mod:`.build`), this takes a list: networks chosen by design,
with several starts and lengths. The file of rows is the record: trainings in it are not repeated.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from chattn_nas.data import Data, Normalize, TensorSet, sample_batch
from chattn_nas.errors import first_line
from chattn_nas.network import build_network, cost, start_at_unit
from chattn_nas.plural import plural
from chattn_nas.proxy import Evaluation, Measurement, ProxySettings
from chattn_nas.proxy.packed import SCORED, train_packed
from chattn_nas.proxy.step import autocast
from chattn_nas.space import Architecture

#: Images that the norm of a gradient is taken on.
PROBED = 512


@dataclass(frozen=True, kw_only=True)
class Training:
    """One network, trained once.

    Attributes:
        architecture: One choice per stage.
        seed: Seed of weights, order and augmentation.
        epochs: Epochs of one complete schedule.
        start: ``unit``, ``official`` or ``identity``.
        branches: Factor of the last norm of every residual branch at the start; 1 leaves it as it is.
        learning_rate, warmup, batch_size: Those of the proxy.
    """

    architecture: Architecture
    seed: int
    epochs: int
    start: str = "unit"
    branches: float = 1.0
    learning_rate: float = 0.1
    warmup: float = 0.2
    batch_size: int = 128

    @property
    def key(self) -> str:
        """The key of this training in its file."""
        fields = asdict(self) | {"architecture": self.architecture.to_dict()}
        return json.dumps(fields, sort_keys=True)


#: Builds the network of a training, started as it says.
Build = Callable[[Training, Data], nn.Module]


def run_trainings(
    trainings: Sequence[Training],
    data: Data,
    test: TensorSet,
    *,
    build: Build,
    out: Path,
    device: str,
    pack: int = 8,
    seconds: float | None = None,
    progress: Callable[[str], None] = print,
) -> None:
    """Train what is not in ``out`` yet, ``pack`` networks at a time, and add a row for each.

    Args:
        trainings: The trainings, the most important first.
        data, test: On the device.
        build: Builds the networks.
        out: Lines of JSON, one per training; lines are added after every pack.
        device: Device to train on.
        pack: Number of networks at once.
        seconds: Begin no pack that would end later.
        progress: Called with a line after every pack.
    """
    known = {json.loads(line)["key"] for line in out.read_text().splitlines()} if out.exists() else set()
    wanted = [training for training in trainings if training.key not in known]
    started, cost_of_work = time.perf_counter(), 0.0
    packs = list(_packs(wanted, pack))
    for number, together in enumerate(packs, 1):
        work = sum(training.epochs for training in together)
        begun = time.perf_counter()
        if seconds is not None and begun - started + cost_of_work * work > seconds:
            progress(f"out of time before pack {number} of {len(packs)}")
            return
        try:
            rows = _train(together, data, test, build, device)
        except Exception as error:  # one network that fails must not cost the others, paid for by the minute
            names = ", ".join(str(training.architecture) for training in together)
            progress(f"pack {number} of {len(packs)} failed ({names}): {type(error).__name__}: {first_line(error)}")
            continue
        with out.open("a") as file:
            file.writelines(f"{json.dumps(row)}\n" for row in rows)
        cost_of_work = (time.perf_counter() - begun) / work
        progress(
            f"pack {number} of {len(packs)}: {plural(len(rows), 'training')} of "
            f"{plural(together[0].epochs, 'epoch')} in {time.perf_counter() - begun:.1f} s, "
            f"{time.perf_counter() - started:.0f} s so far"
        )


def _packs(trainings: Sequence[Training], pack: int) -> Iterator[list[Training]]:
    """Group neighbours that train equally long at equal rates."""
    together: list[Training] = []
    for training in trainings:
        same = together and all(
            getattr(training, name) == getattr(together[0], name)
            for name in ("epochs", "learning_rate", "warmup", "batch_size")
        )
        if together and (len(together) == pack or not same):
            yield together
            together = []
        together.append(training)
    if together:
        yield together


def _train(
    trainings: Sequence[Training], data: Data, test: TensorSet, build: Build, device: str
) -> list[dict[str, Any]]:
    first = trainings[0]
    settings = ProxySettings(
        rungs=[first.epochs], learning_rate=first.learning_rate, warmup=first.warmup, batch_size=first.batch_size,
        device=device,
    )  # fmt: skip
    networks = [build(training, data).to(device) for training in trainings]
    costs = [cost(network, data.image_size, in_chans=data.in_chans) for network in networks]
    norms = [gradient_norm(network, data) for network in networks]
    losses: list[list[float]] = []
    measured = train_packed(
        networks,
        data,
        settings,
        seeds=[training.seed for training in trainings],
        device=device,
        after_epoch=lambda _, epoch_losses: losses.append(epoch_losses),
    )
    return [
        _row(training, measurement, network, data, test)
        | {
            "parameters": network_cost.parameters,
            "macs": network_cost.macs,
            "gradient_norm_start": norm,
            "gradient_norm_end": gradient_norm(network, data),
            "epoch_losses": [round(epoch[index], 5) for epoch in losses],
        }
        for index, (training, measurement, network, network_cost, norm) in enumerate(
            zip(trainings, measured, networks, costs, norms, strict=True)
        )
    ]


def _row(training: Training, measured: Measurement, network: nn.Module, data: Data, test: TensorSet) -> dict[str, Any]:
    test_accuracy, test_loss = Evaluation(network, test, data, SCORED)()
    train_accuracy, _ = Evaluation(network, data.train, data, SCORED)()
    return {
        "key": training.key,
        "hash": training.architecture.hash,
        "seed": training.seed,
        "stages": [choice.to_dict() for choice in training.architecture.stages],
        "start": training.start,
        "branches": training.branches,
        "epochs": training.epochs,
        "learning_rate": training.learning_rate,
        "warmup": training.warmup,
        "batch_size": training.batch_size,
        "images": len(data.train),
        "width": dict(training.architecture.backbone.options).get("width"),
        "outcome": str(measured.outcome),
        "accuracy": measured.score,
        "loss": measured.loss,
        "test_accuracy": test_accuracy,
        "test_loss": test_loss,
        "train_accuracy": train_accuracy,
        "train_loss_sum": measured.train_loss_sum,
        "seconds": round(measured.seconds, 2),
        "device": measured.device,
        "versions": " ".join(f"{name} {number}" for name, number in measured.versions.items()),
        "date": date.today().isoformat(),
    }


def gradient_norm(network: nn.Module, data: Data) -> float:
    """Norm of the gradient of all parameters on the first training images, unaugmented, in train mode.

    It is computed on a copy, so that neither gradients nor statistics of norms remain.
    """
    probe = copy.deepcopy(network).train()
    device = next(probe.parameters()).device
    batch = data.train.images[:PROBED].to(device)
    with autocast(device):
        logits = probe(Normalize(data, device)(batch))
    F.cross_entropy(logits.float(), data.train.labels[:PROBED].to(device)).backward()
    gradients = [parameter.grad for parameter in probe.parameters() if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))


def build_started(training: Training, data: Data) -> nn.Module:
    """Build the network of a training, at its start."""
    images = sample_batch(data)
    network = build_network(
        training.architecture,
        num_classes=data.num_classes,
        in_chans=data.in_chans,
        image_size=data.image_size,
        seed=training.seed,
        identity_init=training.start == "identity",
        branch_scale=training.branches,
        images=images,
    )
    if training.start == "unit":
        start_at_unit(network, images)
    return network


def read_trainings(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the rows of several files, each training once; ``stages`` stays JSON text."""
    rows = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    table = pd.DataFrame({row["key"]: row for row in rows}.values())
    for column in ("stages", "epoch_losses"):
        table[column] = table[column].map(json.dumps)
    return table
