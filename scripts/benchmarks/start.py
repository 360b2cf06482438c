#!/usr/bin/env python
"""What a short training says of attention from three starts, against long ones: rows of trainings, and docs/start.md.

    python scripts/benchmarks/start.py train PLAN --data digits|FILE.npz|FOLDER --out rows.csv [--device cuda]
                                       [--parallel 2] [--epochs 3 6 20] [--seeds 3] [--images 20000] [--size 16]
    python scripts/benchmarks/start.py page rows.csv ... --into docs/start.md
    python scripts/benchmarks/start.py merge rows.jsonl --out rows.csv

PLAN is ``recipe`` (none: learning rate x warm-up x scale of the branches), ``starts`` (uniform networks from all
starts, and none at other scales) or ``mixed`` (a dozen mixed networks). One row per training is added to the file as
it ends; the same command goes on where it was. ``page`` writes the tables between the two marks of a page; ``merge``
takes over rows of ``long_table.py`` (``.jsonl``).
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

STARTS = ("official", "identity", "unit")
UNIFORM = ("none", "channel_scale", "random_gate", "se", "eca", "fca", "srm", "gct", "soca", "cbam")
#: Settings of types whose default does not fit a small map or few channels; the authors' own place for GCT.
SETTINGS: dict[str, dict[str, Any]] = {"se": {"reduction": 4}, "fca": {"frequencies": "top4", "reduction": 4}}


#: A training so many times as long tells whether a short one's gap was the start's.
LONGER = 8
#: Marks of a page between which the tables stand.
BEGIN, END = "<!-- begin: scripts/benchmarks/start.py page -->", "<!-- end -->"


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training: what is trained and how; its columns identify a row."""

    network: str
    start: str = "official"
    branch_scale: float = 1.0
    learning_rate: float = 0.1
    warmup: float = 0.2
    first_rung: float = 1.0
    epochs: int = 6
    seed: int = 0

    @property
    def rungs(self) -> list[int]:
        """One cycle, or two, of which the first takes ``first_rung`` of the epochs."""
        return sorted({max(1, round(self.first_rung * self.epochs)), self.epochs})


KEYS = [field.name for field in fields(Training)]
MEASURED = ["data", "backbone", "images", "size", "steps", "accuracy", "loss", "train_loss_sum", "first_epoch_loss",
            "outcome", "seconds", "device", "versions", "date"]  # fmt: skip


def plan(arguments: argparse.Namespace) -> Iterator[Training]:
    """The trainings, seed by seed, so that an interrupted run holds whole comparisons."""
    recipe = {
        "learning_rate": arguments.rate, "warmup": arguments.warmup, "branch_scale": arguments.branches,
        "first_rung": arguments.first_rung,
    }  # fmt: skip
    for seed, epochs in itertools.product(range(arguments.seeds), arguments.epochs):
        if arguments.plan == "recipe":
            for rate, warmup, scale in itertools.product((0.05, 0.1, 0.2, 0.4), (0.05, 0.2), (0.5, 1.0, 2.0)):
                yield Training(
                    network="none", learning_rate=rate, warmup=warmup, branch_scale=scale, epochs=epochs, seed=seed
                )
            continue
        names = list(arguments.networks or UNIFORM)
        if names == ["all"]:
            names = [*UNIFORM, *(name for name in every_type(arguments) if name not in UNIFORM)]
        if arguments.plan == "mixed":
            rng = random.Random(0)
            types = ("none", "se", "eca", "fca", "srm", "gct")
            triples = [triple for triple in itertools.product(types, repeat=3) if len(set(triple)) > 1]
            names = ["|".join(triple) for triple in rng.sample(triples, 12)]
        for name, start in itertools.product(names, arguments.starts):
            yield Training(network=name, start=start, epochs=epochs, seed=seed, **recipe)
        if arguments.plan == "starts" and "none" in names and len(arguments.starts) == len(STARTS):
            for scale in {0.5, 1.0, 2.0} - {arguments.branches}:
                yield Training(network="none", epochs=epochs, seed=seed, **(recipe | {"branch_scale": scale}))


def train_all(arguments: argparse.Namespace, part: int = 0) -> None:
    """Train this process's part of the plan."""
    import timm
    import torch

    from chattn_nas.data import sample_batch
    from chattn_nas.network import build_network, start_at_unit
    from chattn_nas.proxy import train
    from chattn_nas.proxy.settings import ProxySettings

    torch.set_num_threads(arguments.threads)
    data = load(arguments)
    batch = sample_batch(data)
    done = known(arguments.out)
    mine = [one for one in dict.fromkeys(plan(arguments)) if key(asdict(one)) not in done][part :: arguments.parallel]
    for number, one in enumerate(mine, 1):
        network = build_network(
            architecture(one.network, arguments), num_classes=data.num_classes, in_chans=data.in_chans,
            image_size=arguments.size, seed=one.seed, identity_init=one.start == "identity",
            branch_scale=one.branch_scale, images=batch,
        )  # fmt: skip
        if one.start == "unit":
            start_at_unit(network, batch)
        settings = ProxySettings(
            rungs=one.rungs,
            learning_rate=one.learning_rate,
            warmup=one.warmup,
            batch_size=arguments.batch_size,
            start=one.start,  # type: ignore[arg-type]
        )
        measured = train(network, data, settings, seed=one.seed, device=arguments.device)
        row = asdict(one) | {
            "data": Path(arguments.data).stem, "backbone": arguments.backbone, "images": len(data.train),
            "size": arguments.size, "steps": one.epochs * (len(data.train) // arguments.batch_size),
            "accuracy": measured.score, "loss": measured.loss, "train_loss_sum": measured.train_loss_sum,
            "first_epoch_loss": measured.first_epoch_loss, "outcome": str(measured.outcome),
            "seconds": round(measured.seconds, 2), "device": arguments.hardware or measured.device,
            "versions": f"torch {torch.__version__} timm {timm.__version__}", "date": date.today().isoformat(),
        }  # fmt: skip
        add(arguments.out, row)
        print(f"{time.strftime('%H:%M:%S')} part {part}: {number} of {len(mine)} {one} {measured.score}", flush=True)


def architecture(name: str, arguments: argparse.Namespace) -> Any:
    """``se`` everywhere, or ``none|se|gct``."""
    from chattn_nas.network import stages
    from chattn_nas.space import Architecture, Backbone, StageChoice

    options = {"width": arguments.width} if arguments.backbone.startswith("cifar_") else {}
    backbone = Backbone(arguments.backbone, options)
    found = stages(backbone, image_size=arguments.size)
    names = name.split("|") if "|" in name else [name] * len(found)
    return Architecture(backbone, tuple(StageChoice(one, SETTINGS.get(one, {})) for one in names)).canonical(found)


def every_type(arguments: argparse.Namespace) -> list[str]:
    """This package's types that can sit in every stage with the settings used here."""
    from chattn_nas import attention
    from chattn_nas.errors import InputError

    found = []
    for name in (name for name in attention.names() if "/" not in name):
        try:
            architecture(name, arguments)
        except InputError as error:
            print(f"{name} is left out: {error}", flush=True)
        else:
            found.append(name)
    return found


def load(arguments: argparse.Namespace) -> Any:
    """The data: scikit-learn's digits, an npz file, or a folder of images."""
    from chattn_nas.data import DataSettings, load_data

    where: dict[str, Any] = {"dataset": "digits"}
    if arguments.data != "digits":
        kind = "npz" if arguments.data.endswith(".npz") else "image_folder"
        where = {"dataset": kind, "path": arguments.data, "flip": True}
    return load_data(
        DataSettings(**where, image_size=arguments.size, train_limit=arguments.images), device=arguments.device
    )


def key(row: dict[str, Any]) -> tuple[str, ...]:
    """What tells a training from another, as text."""
    return tuple(str(row[name]) for name in KEYS)


def known(path: Path) -> set[tuple[str, ...]]:
    """The trainings that stand in the file."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        return {key(row) for row in csv.DictReader(file)}


def add(path: Path, row: dict[str, Any]) -> None:
    """One line in one write: several processes add to the file."""
    text = [str(row[name]) for name in (*KEYS, *MEASURED)]
    assert not any("," in value or "\n" in value for value in text)
    if not path.exists() or not path.stat().st_size:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(",".join((*KEYS, *MEASURED)) + "\n")
    with path.open("a") as file:
        file.write(",".join(text) + "\n")


def read(paths: list[Path]) -> Any:
    """Rows of several files as one table; accuracies in percent."""
    import pandas as pd

    tables = []
    for path in paths:
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            for row in rows:
                types = [stage["type"] for stage in row["stages"]]
                row |= {
                    "network": types[0] if len(set(types)) == 1 else "|".join(types), "branch_scale": row["branches"],
                    "data": "CIFAR-10 (JPEG copies)", "backbone": "cifar_resnet8", "size": 16,
                    "steps": row["epochs"] * (row["images"] // 128), "first_epoch_loss": row["epoch_losses"][0],
                    "first_rung": 1.0,
                }  # fmt: skip
            tables.append(pd.DataFrame(rows))
        else:
            tables.append(pd.read_csv(path))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(accuracy=100 * table["accuracy"])


def main() -> None:
    """Train a plan, or print the page of some rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_page = commands.add_parser("page")
    of_page.add_argument("rows", nargs="+", type=Path)
    of_page.add_argument("--into", type=Path, required=True)
    of_merge = commands.add_parser("merge")
    of_merge.add_argument("rows", nargs="+", type=Path)
    of_merge.add_argument("--out", type=Path, required=True)
    of_train = commands.add_parser("train")
    of_train.add_argument("plan", choices=("recipe", "starts", "mixed"))
    of_train.add_argument("--out", type=Path, required=True)
    of_train.add_argument("--data", default="digits")
    of_train.add_argument("--device", default="cpu")
    of_train.add_argument("--parallel", type=int, default=1)
    of_train.add_argument("--threads", type=int, default=1)
    of_train.add_argument("--epochs", type=int, nargs="+", default=[6])
    of_train.add_argument("--seeds", type=int, default=3)
    of_train.add_argument("--images", type=int)
    of_train.add_argument("--size", type=int, default=16)
    of_train.add_argument("--width", type=int, default=16)
    of_train.add_argument("--backbone", default="cifar_resnet8")
    of_train.add_argument("--batch-size", type=int, default=128)
    of_train.add_argument("--networks", nargs="+")
    of_train.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS)
    of_train.add_argument("--rate", type=float, default=0.1)
    of_train.add_argument("--warmup", type=float, default=0.2)
    of_train.add_argument("--branches", type=float, default=1.0)
    of_train.add_argument("--first-rung", type=float, default=1.0, help="part of the epochs in a first cycle")
    of_train.add_argument("--hardware", help="what the rows say of the machine, without commas")
    arguments = parser.parse_args()
    if arguments.command == "merge":
        table = read(arguments.rows)
        table.assign(accuracy=table["accuracy"] / 100)[[*KEYS, *MEASURED]].to_csv(arguments.out, index=False)
        return
    if arguments.command == "page":
        head, rest = arguments.into.read_text().split(BEGIN)
        from start_page import page

        tables = "\n".join(page(read(arguments.rows)))
        arguments.into.write_text(f"{head}{BEGIN}\n\n{tables}\n{END}{rest.split(END)[1]}")
        return
    if arguments.parallel == 1:
        train_all(arguments)
        return
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=train_all, args=(arguments, part)) for part in range(arguments.parallel)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(max(abs(process.exitcode or 0) for process in processes))


if __name__ == "__main__":
    main()
