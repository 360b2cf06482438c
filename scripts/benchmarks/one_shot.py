#!/usr/bin/env python
"""What shared weights, and scores that cost nothing, say of the networks of a table of long trainings.

    python scripts/benchmarks/one_shot.py train --data cifar10.npz [--epochs 3 7 20 --seeds 3]
    python scripts/benchmarks/one_shot.py train --table imagenette_resnet18_64px_20ep --data imagenette_96
    python scripts/benchmarks/one_shot.py report [--table imagenette_resnet18_64px_20ep]

``train`` trains supernets as ``chattn-nas one-shot`` does, each in the recipe of the table, scores every network of the
table with them, and takes the zero-cost scores of every network's own untrained weights. Every result is a line of
supernets.jsonl or zero.jsonl in a folder, which is ``one_shot/TABLE`` beside this file where ``--out`` names no other:
the same command again goes on. ``report`` prints what docs/cost.md has.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import re
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor, nn
from torch.nn import functional as F

from chattn_nas import tasks
from chattn_nas.benchmark import Table, load, read_table
from chattn_nas.benchmark.answers import LongTable, foretelling
from chattn_nas.benchmark.answers_text import READING
from chattn_nas.benchmark.foretelling_figure import Mark, limits, marks_svg
from chattn_nas.device import resolve_device
from chattn_nas.plural import plural
from chattn_nas.proxy import DistributedContext
from chattn_nas.proxy.paths import PathLoss, steps_of, train_paths
from chattn_nas.proxy.provenance import provenance_of
from chattn_nas.search.one_shot.paths import additive, balanced
from chattn_nas.search.one_shot.run import SCORED, prepared_supernet
from chattn_nas.search.pooled.networks import Networks
from chattn_nas.search.trainer import build_prepared
from chattn_nas.spec import Spec
from chattn_nas.tasks.task import TaskData

#: One folder per table.
KEPT = Path(__file__).parent / "one_shot"
#: Types whose gate is a sigmoid, so that it shrinks what it gates.
SIGMOID = ("se", "eca", "fca", "srm", "triplet", "shuffle")
#: Of the bootstrap.
DRAWS = 300
#: What scoring the table's networks costs in trainings, by a supernet or by zero-cost scores.
SCORING = 0.01

#: A mean with the limits of its interval.
Limits = tuple[float, float, float]


def supernet(spec: Spec, data: TaskData, table: Table, epochs: int, seed: int) -> dict[str, Any]:
    """Train one, score the table's networks directly, and by the sum over stages of a balanced sample."""
    begun, device = time.perf_counter(), resolve_device(spec.proxy.device)
    networks, made = Networks(table.space), prepared_supernet(spec, data, seed)
    sizes, rng = networks.sizes.tolist(), np.random.default_rng([seed, 1])
    paths = balanced(sizes, epochs * steps_of(data, spec.proxy), rng) if epochs else []
    if epochs:
        train_paths(
            made.network, data, spec.proxy, epochs=epochs, choose=lambda step: made.select(paths[step].tolist()),
            seed=seed, context=DistributedContext.alone(device),
            after_epoch=lambda epoch, loss: print(f"  epoch {epoch}: loss {loss:.3f}", flush=True),
        )  # fmt: skip
    trained = time.perf_counter() - begun
    loss = PathLoss(made.network.to(device), data, spec.proxy, device)
    logits: list[Tensor] = []
    made.network.register_forward_hook(lambda _module, _given, output: logits.append(output.detach()))

    def scored(row: Sequence[int]) -> tuple[float, float]:
        logits.clear()
        made.select(list(row))
        return -loss(), float(torch.cat(logits).std(1).mean())

    sample = balanced(sizes, SCORED * sum(sizes), rng)
    mean, effects, explained = additive(sample, np.array([scored(row)[0] for row in sample.tolist()]), sizes)
    rows = {key: networks.row(choices) for key, choices in choices_of(table).items()}
    direct = {key: scored(row) for key, row in rows.items() if row is not None}
    return {
        "epochs": epochs, "seed": seed, "start": spec.proxy.start, "explained": explained,
        "date": date.today().isoformat(), **provenance_of(device),
        "seconds": [round(trained, 1), round(time.perf_counter() - begun - trained, 1)],
        "score": {key: one for key, (one, _) in direct.items()},
        "spread": {key: one for key, (_, one) in direct.items()},
        "additive": {
            key: mean + sum(float(one[place]) for one, place in zip(effects, row, strict=True))
            for key, row in rows.items() if row is not None
        },
    }  # fmt: skip


def choices_of(table: Table) -> dict[str, Any]:
    """The table's networks as the pooled model names them."""
    from chattn_nas.results.pooled import choices_of_stages

    return {
        key: choices_of_stages(one.canonical(table.space.stages).to_dict()["stages"])
        for key, one in table.networks.items()
    }


# Zero-cost scores of one untrained network on one batch; more is better.


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over layers of the norm of the gradient (Abdelfattah, Mehrotra, Dudziak, Lane, 2021)."""
    network.zero_grad()
    F.cross_entropy(network(images), labels).backward()
    return sum(float(one.weight.grad.norm()) for one in _layers(network) if one.weight.grad is not None)


def synflow(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum of weight times gradient with absolute weights, an input of ones and norms left out, as a logarithm (Tanaka,
    Kunin, Yamins, Ganguli, 2020)."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.forward = lambda x: x  # type: ignore[method-assign]
    network.double().eval()  # one image is no batch
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    network.zero_grad()
    network(torch.ones_like(images[:1]).double()).sum().backward()
    found = sum(
        float((one.weight * one.weight.grad).detach().sum()) for one in _layers(network) if one.weight.grad is not None
    )
    return float(np.log(found))


def jacob_cov(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """How little the Jacobians of two images correlate (Mellor, Turner, Storkey, Crowley, first version, 2020)."""
    x = images.clone().requires_grad_(True)
    network(x).sum().backward()
    assert x.grad is not None
    values = np.linalg.eigvalsh(np.corrcoef(x.grad.flatten(1).double().numpy()))
    return -float(np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5)))


def naswot(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Log-determinant of how many ReLUs two images share (Mellor, Turner, Storkey, Crowley, 2021)."""
    kernel = np.zeros((len(images),) * 2)

    def add(module: nn.Module, given: Any, output: Tensor) -> None:
        on = (output.detach().flatten(1) > 0).double()
        kernel[:] += (on @ on.T + (1 - on) @ (1 - on).T).numpy()

    hooks = [one.register_forward_hook(add) for one in network.modules() if isinstance(one, nn.ReLU)]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return float(np.linalg.slogdet(kernel)[1])


def zico(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Mean over standard deviation of the gradients of several batches, summed within layers, logarithms summed over
    layers (Li, Yang, Bhardwaj, Marculescu, 2023)."""
    seen: dict[nn.Module, list[Tensor]] = {}
    for part, targets in zip(images.chunk(4), labels.chunk(4), strict=True):
        network.zero_grad()
        F.cross_entropy(network(part), targets).backward()
        for one in _layers(network):
            if one.weight.grad is not None:
                seen.setdefault(one, []).append(one.weight.grad.flatten().clone())
    total = 0.0
    for gradients in seen.values():
        stacked = torch.stack(gradients)
        deviation = stacked.std(0, unbiased=False)
        moving = deviation > 0
        ratio = stacked.abs().mean(0)[moving] / deviation[moving]
        total += float(torch.log(ratio.sum())) if len(ratio) else 0.0
    return total


def _layers(network: nn.Module) -> list[Any]:
    return [one for one in network.modules() if isinstance(one, nn.Conv2d | nn.Conv1d | nn.Linear)]


ZERO: dict[str, Callable[[nn.Module, Tensor, Tensor], float]] = {
    "synflow": synflow, "jacob_cov": jacob_cov, "naswot": naswot, "grad_norm": grad_norm, "ZiCo": zico,
}  # fmt: skip


def zero_costs(spec: Spec, data: TaskData, table: Table, seed: int) -> dict[str, Any]:
    """Every zero-cost score of every network of the table on 128 training images, in train mode."""
    picked = torch.arange(128) * len(data.train) // 128
    batch = data.train[picked]
    images, labels = data.task.inputs(batch.images), batch.labels
    found: dict[str, dict[str, float]] = {name: {} for name in ZERO}
    for key, architecture in table.networks.items():
        network = build_prepared(spec, architecture.canonical(table.space.stages), seed=seed, data=data).train()
        for name, score in ZERO.items():
            found[name][key] = score(copy.deepcopy(network), images, labels)
    return {"seed": seed, "date": date.today().isoformat(), "torch": torch.__version__, "scores": found}


def train(arguments: argparse.Namespace) -> None:
    """Everything that does not stand in the folder yet."""
    table, out = load(arguments.table), arguments.out
    out.mkdir(parents=True, exist_ok=True)
    start = "official" if arguments.official else table.spec.proxy.start
    spec = table.spec.changed(
        data=table.spec.data.changed(path=arguments.data, flip=True),
        proxy=table.spec.proxy.changed(device=arguments.device, start=start),
    )
    data = tasks.load(spec.task, spec.data)
    lengths = [0, *arguments.epochs]
    for turn, epochs in enumerate(lengths):
        if turn == min(2, len(lengths) - 1):
            _zero(spec, data, table, arguments)
        for seed in range(arguments.seeds):
            known = {(one["epochs"], one["seed"], one["start"]) for one in _lines(out / "supernets.jsonl")}
            if (epochs, seed, start) in known:
                continue
            print(f"supernet of {epochs} epochs, seed {seed}", flush=True)
            row = supernet(spec, data, table, epochs, seed)
            _add(out / "supernets.jsonl", row)
            keys = list(row["score"])
            agrees = kendalltau([row["score"][key] for key in keys], [table.values[key] for key in keys]).statistic
            print(f"  tau {agrees:.3f}, {row['seconds']} s", flush=True)


def _zero(spec: Spec, data: TaskData, table: Table, arguments: argparse.Namespace) -> None:
    for seed in range(arguments.seeds):
        if seed not in {one["seed"] for one in _lines(arguments.out / "zero.jsonl")}:
            print(f"zero-cost scores, seed {seed}", flush=True)
            _add(arguments.out / "zero.jsonl", zero_costs(spec, data, table, seed))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _add(path: Path, row: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(f"{json.dumps(row)}\n")


def report(arguments: argparse.Namespace) -> None:
    """Kendall's tau of every score with test accuracy, overall and within networks of one gate pattern."""
    table = load(arguments.table)
    keys = list(table.networks)
    tests = table.rows.pivot(index="hash", columns="seed", values="test_accuracy").loc[keys].to_numpy()
    stages = [[one.type for one in table.networks[key].canonical(table.space.stages).stages] for key in keys]
    pattern = np.array(["".join("01"[name in SIGMOID] for name in names) for names in stages])
    gates = np.array([sum(name in SIGMOID for name in names) for names in stages])
    weighted = np.array([sum(2**at for at, name in enumerate(names) if name in SIGMOID) for names in stages])
    costs = table.rows.groupby("hash")[["parameters", "macs"]].first().loc[keys]
    scores: dict[str, np.ndarray] = {}
    for one in sorted(
        _lines(arguments.out / "supernets.jsonl"), key=lambda one: (one["start"] != "unit", one["epochs"])
    ):
        told = f"{one['epochs']} epochs" if one["epochs"] else "untrained"
        told = f"supernet, {told}" + (f", {one['start']} start" if one["start"] != "unit" else "")
        for name, kind in (("", "score"), (", sum over stages", "additive"), (", spread of its logits", "spread")):
            row = np.array([one[kind][key] for key in keys])
            held = scores.get(told + name)
            scores[told + name] = row[None] if held is None else np.vstack([held, row])
    for one in _lines(arguments.out / "zero.jsonl"):
        for name, found in one["scores"].items():
            row = np.array([found[key] for key in keys])
            scores[name] = np.vstack([scores[name], row]) if name in scores else row[None]
    scores |= {
        "fewer sigmoid gates": -gates[None].astype(float),
        "fewer sigmoid gates, each stage twice the one before": -weighted[None].astype(float),
        "parameters": costs[["parameters"]].to_numpy().T.astype(float),
        "MACs": costs[["macs"]].to_numpy().T.astype(float),
    }  # fmt: skip
    groups = {"all": np.ones((len(keys),) * 2, dtype=bool), "within one gate pattern": np.equal.outer(pattern, pattern)}
    kept = np.array(["shuffle" not in names for names in stages])
    if not kept.all():
        groups["without `shuffle`"] = np.logical_and.outer(kept, kept)
    rng = np.random.default_rng(0)
    print("| score | supernets or seeds | " + " | ".join(groups) + " |\n|---|---|" + "---|" * len(groups))
    taus: dict[str, Limits] = {}
    for name, rows in scores.items():
        found = [interval(rows, tests, group, rng) for group in groups.values()]
        print(f"| {name} | {len(rows)} | {' | '.join(map(_cell, found))} |")
        taus[name] = found[0]
    real = {"": ("accuracy", 1), ", sum of its training losses": ("train_loss_sum", -1)}
    for more, (reading, sign) in real.items():
        values = sign * table.rows.pivot(index="hash", columns="seed", values=reading).loc[keys].to_numpy()
        cells = []
        for group in groups.values():
            rest = [np.delete(tests, seed, 1).mean(1) for seed in range(values.shape[1])]
            found = [tau(one, other, group) for one, other in zip(values.T, rest, strict=True)]
            cells.append(f"{np.mean(found):+.2f} [{min(found):+.2f}, {max(found):+.2f}]")
        print(f"| one real training{more} (range) | {len(found)} | {' | '.join(cells)} |")
    if arguments.figure:
        arguments.figure.write_text(figure(LongTable(read_table(arguments.table)), taus))


def figure(table: LongTable, taus: dict[str, Limits]) -> str:
    """All by what it costs to rank the table's networks: a training of each, a supernet, and what trains nothing."""
    every, supernet, nothing = series = "a training of every network", "one supernet", "no training"
    colours = dict(zip(series, ("c1", "c3", "c6"), strict=True))
    marks = []
    for name, found in taus.items():
        epochs = re.match(r"supernet, (\d+) epochs", name)
        if epochs:
            cost = int(epochs[1]) / table.long.epochs + SCORING
            marks.append(Mark(cost, (epochs[1],), supernet, name, *found))
        elif name in (*ZERO, "fewer sigmoid gates", "supernet, untrained", "supernet, untrained, spread of its logits"):
            marks.append(Mark(SCORING, ("0",), nothing, name, *found))
    rows = [one for one in foretelling(table) if one.regime[1:] == table.long[1:]]
    for one in rows:
        name = f"{plural(one.regime.epochs, 'epoch')}, {READING[one.reading]}"
        cost = one.cost * len(table.networks)
        marks.append(Mark(cost, (str(one.regime.epochs),), every, name, one.tau.mean, *limits(one.tau)))
    return marks_svg(
        marks, colours, ceiling=max(one.tau.mean for one in rows if one.regime == table.long),
        caption=f"epochs, by the cost of ranking {len(table.networks)} networks (log scale); tau to long trainings",
    )  # fmt: skip


def tau(score: np.ndarray, truth: np.ndarray, group: np.ndarray) -> float:
    """Kendall's tau-b over the pairs of networks that are in the group."""
    first, second = np.triu_indices(len(score), 1)
    held = group[first, second]
    # Equal means of several seeds differ by rounding.
    a, b = (np.sign(np.round(one[first] - one[second], 12))[held] for one in (score, truth))
    scale = np.sqrt(np.abs(a).sum() * np.abs(b).sum())
    return float((a * b).sum() / scale) if scale else float("nan")


def interval(rows: np.ndarray, tests: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> Limits:
    """Mean over supernets, and a 95 % interval by the bootstrap over supernets and over seeds of real trainings."""
    drawn = []
    for _ in range(DRAWS):
        seeds = tests[:, rng.integers(0, tests.shape[1], tests.shape[1])].mean(1)
        some = rows[rng.integers(0, len(rows), len(rows))]
        drawn.append(np.mean([tau(row, seeds, group) for row in some]))
    mean = float(np.mean([tau(row, tests.mean(1), group) for row in rows]))
    low, high = (math.nan,) * 2 if math.isnan(mean) else map(float, np.nanquantile(drawn, [0.025, 0.975]))
    return mean, low, high


def _cell(found: Limits) -> str:
    mean, low, high = found
    return "-" if math.isnan(mean) else f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"  # all networks may have one score


def main() -> None:
    """Train, or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "report"))
    parser.add_argument("--table", default="cifar_resnet8_16px_20ep", help="which table's networks")
    parser.add_argument("--data", help="an unpacked npz of CIFAR-10 copies, or the folder of photos")
    parser.add_argument("--device", default="cpu", help="of the supernets; the zero-cost scores stay on the CPU")
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--figure", type=Path, help="an SVG file that ``report`` writes: tau by cost")
    parser.add_argument("--epochs", type=int, nargs="+", default=[3, 7])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--official", action="store_true", help="from the official start instead of the unit start")
    arguments = parser.parse_args()
    arguments.out = arguments.out or KEPT / arguments.table
    (train if arguments.what == "train" else report)(arguments)


if __name__ == "__main__":
    main()
