#!/usr/bin/env python
"""The trainings behind the long tables: networks by design, several starts, lengths and seeds, on one GPU or CPU.

    python scripts/benchmarks/long_table.py PLAN --data cifar10.npz --out FOLDER [--device cuda --processes 3 --pack 8]

PLAN is one of

    recipe    none with several learning rates, warm-ups and branch scales: the bare recipe, tuned first
    pilot     the newer attentions everywhere, 7 epochs: which two the table takes
    start     what short and long trainings say from the unit, the official and the identity start
    table     an orthogonal array over the types in three stages, 20 epochs, every seed of all networks in turn
    lengths   the table's networks in complete schedules of 1, 3 and 7 epochs
    fewer     the table's networks on a sixteenth of the training images, 20 epochs
    narrow    the table's networks at half the width, 3 epochs
    groups    SGE with one channel per group and with several, none beside it, at two learning rates, 4 epochs
    ranked    the ten networks outside the table's design that supernets of 20 epochs put first, 20 epochs
    photos_recipe    none on photos at 64 px with several learning rates
    photos    photos: an orthogonal array of five types in four stages, then other types in every stage
    leaders   the five mixed networks that lead the long table, on photos
    deep_recipe    none on a ResNet-20 at 32 px with several learning rates
    deep      attention in every block of a ResNet-20 at 32 px, 30 epochs: an orthogonal array, then uniform networks
    deep_lengths    the array in complete schedules of 3 and 10 epochs

Rows go to FOLDER/PLAN.*.jsonl as they come: the same command again goes on. ``--seconds`` bounds what is begun.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from chattn_nas import attention
from chattn_nas.benchmark import load, read_table
from chattn_nas.benchmark.design import orthogonal_array, orthogonal_triples
from chattn_nas.benchmark.trainings import Training, build_started, read_trainings, run_trainings
from chattn_nas.data import DataSettings, load_data, load_test
from chattn_nas.errors import InputError
from chattn_nas.space import Architecture, Backbone, StageChoice

SMALL = Backbone("cifar_resnet8", {"width": 16})
NARROW = Backbone("cifar_resnet8", {"width": 8})
PHOTOS = Backbone("resnet18", {})
DEEP = Backbone("cifar_resnet20", {})
#: As the first table had them; the authors' own place for GCT.
FIRST = {
    "none": {},
    "se": {"reduction": 4},
    "eca": {},
    "fca": {"frequencies": "top4", "reduction": 4},
    "gct": {"placement": "before_convs"},
    "srm": {},
}
CONTROLS = ("channel_scale", "random_gate")
NEWER = ("simam", "sge", "shuffle", "gather_excite", "channel_cbam", "cbam", "bam", "coordinate", "triplet", "ema",
         "scse", "ortho")  # fmt: skip
#: Whose authors put them into every block, beside SE, ECA and SRM; those that won in the long table first.
BLOCKS = ("gct", "triplet", "rcan", "shuffle", "fca", "coordinate", "gather_excite", "channel_cbam", "cbam", "simam",
          "ortho", "scse", "sge", "enc_module", "random_gate", "mca", "scsa", "enc", "ema")  # fmt: skip
#: Crossed in the stages of photos: a prime number of types, so an array of four stages has all uniform ones.
ON_PHOTOS = ("none", "se", "eca", "gct", "srm")
#: Supernets of the long table and what they say of its networks.
SUPERNETS = Path(__file__).parent / "one_shot" / "cifar_resnet8_16px_20ep" / "supernets.jsonl"
#: More than elsewhere: small batches leave a GPU idle.
DEEP_BATCH = 256
#: Training images, where they are not 40,000.
IMAGES = {"start": 20_000, "fewer": 2_500, "groups": 10_000}


def choice(name: str) -> StageChoice:
    """A type with the table's settings."""
    return StageChoice.from_dict({"type": name, **FIRST.get(name, {})})


def network(backbone: Backbone, *names: str, stages: int = 3) -> Architecture:
    """One type per stage; a single one stands for all."""
    return Architecture(backbone, tuple(map(choice, names * stages if len(names) == 1 else names)))


def available(names: tuple[str, ...]) -> list[str]:
    """Those that this version has."""
    return [name for name in names if name in attention.names()]


def mixed(names: list[str], count: int) -> list[tuple[str, ...]]:
    """The first triples of the design that are not uniform, evenly spread."""
    triples = [triple for triple in orthogonal_triples(names) if len(set(triple)) > 1]
    return triples[:: max(1, len(triples) // count)][:count]


def recipe(folder: Path, seeds: int) -> Iterator[Training]:
    """Learning rate x warm-up x scale of the branches, of the bare backbone."""
    for seed, rate, warmup, branches in itertools.product(
        range(seeds), (0.05, 0.1, 0.2, 0.4), (0.05, 0.2), (0.5, 1.0, 2.0)
    ):
        yield Training(
            architecture=network(SMALL, "none"), seed=seed, epochs=7, start="official", branches=branches,
            learning_rate=rate, warmup=warmup,
        )  # fmt: skip


def pilot(folder: Path, seeds: int) -> Iterator[Training]:
    """Every newer type everywhere."""
    rates = best_recipe(folder)
    for seed, name in itertools.product(range(seeds), ("none", "channel_scale", *available(NEWER))):
        yield Training(architecture=network(SMALL, name), seed=seed, epochs=7, **rates)


def start(folder: Path, seeds: int) -> Iterator[Training]:
    """Uniform and mixed networks from three starts, in schedules of 3, 6, 15 and 20 epochs."""
    rates = best_recipe(folder)
    names = [*FIRST, *available((*CONTROLS, "soca", "cbam"))]
    networks = [network(SMALL, name) for name in names]
    networks += [network(SMALL, *triple) for triple in mixed(list(FIRST), 12)]
    for seed, epochs, begun in itertools.product(range(seeds), (3, 6, 20, 15), ("unit", "official", "identity")):
        for one in networks:
            yield Training(architecture=one, seed=seed, epochs=epochs, start=begun, **rates)
        bare = network(SMALL, "none")
        for branches in (0.5, 2.0) if begun == "official" else ():
            yield Training(architecture=bare, seed=seed, epochs=epochs, start=begun, branches=branches, **rates)


def designed(folder: Path, backbone: Backbone = SMALL) -> list[Architecture]:
    """The table's networks: an orthogonal array over eight types, all uniform ones in it, and the controls."""
    names = [*FIRST, *best_of_pilot(folder)]
    found = [network(backbone, *triple) for triple in orthogonal_triples(names)]
    return [*found, *(network(backbone, name) for name in available(CONTROLS))]


def table(folder: Path, seeds: int) -> Iterator[Training]:
    """Twenty epochs from the unit start."""
    rates = best_recipe(folder)
    for seed in range(seeds):
        for one in designed(folder):
            yield Training(architecture=one, seed=seed, epochs=20, **rates)


def lengths(folder: Path, seeds: int) -> Iterator[Training]:
    """Complete schedules of 1, 3 and 7 epochs."""
    rates = best_recipe(folder)
    for seed, epochs in itertools.product(range(seeds), (3, 1, 7)):
        for one in designed(folder):
            yield Training(architecture=one, seed=seed, epochs=epochs, **rates)


def fewer(folder: Path, seeds: int) -> Iterator[Training]:
    """As many epochs as in the table; the images are :data:`IMAGES`."""
    rates = best_recipe(folder)
    for seed, one in in_halves(designed(folder), seeds):
        yield Training(architecture=one, seed=seed, epochs=20, **rates)


def narrow(folder: Path, seeds: int) -> Iterator[Training]:
    """Half the channels, three epochs."""
    rates = best_recipe(folder)
    for seed, one in in_halves(designed(folder, NARROW), seeds):
        yield Training(architecture=one, seed=seed, epochs=3, **rates)


def groups(folder: Path, seeds: int) -> Iterator[Training]:
    """SGE's 64 groups hold one channel each at these widths; 8 hold two, four and eight."""
    entries: list[dict[str, object]] = [{"type": "none"}, {"type": "sge"}, {"type": "sge", "groups": 8}]
    for seed, rate, entry in itertools.product(range(seeds), (0.4, 0.1), entries):
        architecture = Architecture(SMALL, (StageChoice.from_dict(entry),) * 3)
        yield Training(architecture=architecture, seed=seed, epochs=4, learning_rate=rate)


def in_halves(networks: list[Architecture], seeds: int) -> Iterator[tuple[int, Architecture]]:
    """A random half of the networks on every seed, then the rest: half of them tell whether they rank at all."""
    kept = [one for one in networks if one.stages[0].type not in CONTROLS]
    order = random.Random(0).sample(kept, len(kept))
    for half in (order[: len(order) // 2], order[len(order) // 2 :]):
        yield from itertools.product(range(seeds), half)


def ranked(folder: Path, seeds: int) -> Iterator[Training]:
    """The ten first by the mean of three supernets' sums over stages, of the networks that the design left out."""
    rates = best_recipe(folder)
    known = load("cifar_resnet8_16px_20ep").networks
    lines = [json.loads(line) for line in SUPERNETS.read_text().splitlines()]
    told = [line["additive"] for line in lines if line["epochs"] == 20]
    triples = [[stage.type for stage in one.stages] for one in known.values()]
    columns = [(place, name) for place in range(3) for name in sorted({triple[place] for triple in triples})]
    design = np.array([[triple[place] == name for place, name in columns] for triple in triples], dtype=float)
    means = np.array([np.mean([line[key] for line in told]) for key in known])
    # The sums over stages were fitted, so this is exact.
    worth = dict(zip(columns, np.linalg.lstsq(design, means, rcond=None)[0], strict=True))
    everything = itertools.product(sorted({name for _, name in columns}), repeat=3)
    first = sorted(everything, key=lambda names: -sum(worth[place, name] for place, name in enumerate(names)))
    fresh = [names for names in first if list(names) not in triples][:10]
    for seed, names in itertools.product(range(seeds), fresh):
        yield Training(architecture=network(SMALL, *names), seed=seed, epochs=20, **rates)


def photos_recipe(folder: Path, seeds: int) -> Iterator[Training]:
    """Learning rates of the bare backbone."""
    for seed, rate in itertools.product(range(seeds), (0.025, 0.05, 0.1, 0.2)):
        yield Training(architecture=network(PHOTOS, "none", stages=4), seed=seed, epochs=20, learning_rate=rate)


def photos(folder: Path, seeds: int) -> Iterator[Training]:
    """An orthogonal array on a ResNet-18 at 64 px, and the table's other types and the controls everywhere."""
    rates = best_recipe(folder, "photos_recipe")
    others = [name for name in (*FIRST, *best_of_pilot(folder), *available(CONTROLS)) if name not in ON_PHOTOS]
    networks = [network(PHOTOS, *row) for row in orthogonal_array(ON_PHOTOS, 4)]
    networks += [network(PHOTOS, name, stages=4) for name in others]
    for seed, one in itertools.product(range(seeds), networks):
        yield Training(architecture=one, seed=seed, epochs=20, **rates)


def leaders(folder: Path, seeds: int) -> Iterator[Training]:
    """The long table's best mixed networks by validation accuracy, their second stage in both stages between."""
    rates = best_recipe(folder, "photos_recipe")
    rows = read_table("cifar_resnet8_16px_20ep", "table")
    means = rows.groupby("stages")["accuracy"].mean().sort_values(ascending=False)
    triples = [[choice["type"] for choice in json.loads(text)] for text in means.index]
    best = [(first, second, second, third) for first, second, third in triples if len({first, second, third}) > 1][:5]
    for seed, names in itertools.product(range(seeds), best):
        yield Training(architecture=network(PHOTOS, *names), seed=seed, epochs=20, **rates)


def deep_recipe(folder: Path, seeds: int) -> Iterator[Training]:
    """Learning rates of the bare backbone, in half as many epochs."""
    for seed, rate in itertools.product(range(seeds), (0.1, 0.2, 0.4, 0.8)):
        yield Training(
            architecture=network(DEEP, "none"), seed=seed, epochs=15, learning_rate=rate, batch_size=DEEP_BATCH
        )


def deep(folder: Path, seeds: int) -> Iterator[Training]:
    """An orthogonal array over four types, seed by seed; then other types in every block, type by type."""
    rates = best_recipe(folder, "deep_recipe")
    wanted = list(itertools.product(range(seeds), deep_array()))
    wanted += [(seed, network(DEEP, name)) for name in ("channel_scale", *BLOCKS) for seed in range(seeds)]
    for seed, one in wanted:
        yield Training(architecture=one, seed=seed, epochs=30, batch_size=DEEP_BATCH, **rates)


def deep_lengths(folder: Path, seeds: int) -> Iterator[Training]:
    """Complete schedules of 3 and 10 epochs."""
    rates = best_recipe(folder, "deep_recipe")
    for epochs, seed, one in itertools.product((3, 10), range(seeds), deep_array()):
        yield Training(architecture=one, seed=seed, epochs=epochs, batch_size=DEEP_BATCH, **rates)


def deep_array() -> list[Architecture]:
    """Four types in three stages."""
    return [network(DEEP, *triple) for triple in orthogonal_triples(("none", "se", "eca", "srm"))]


def best_recipe(folder: Path, plan: str = "recipe") -> dict[str, float]:
    """Learning rate and warm-up with the best mean validation accuracy of the plain backbone."""
    found = sorted(folder.glob(f"{plan}.*.jsonl"))
    if not found:
        return {}
    rows = read_trainings(found)
    rows = rows[rows["branches"] == 1]
    rate, warmup = rows.groupby(["learning_rate", "warmup"])["accuracy"].mean().idxmax()
    return {"learning_rate": float(rate), "warmup": float(warmup)}


def best_of_pilot(folder: Path, count: int = 2) -> list[str]:
    """The newer types with the best mean validation accuracy."""
    found = sorted(folder.glob("pilot.*.jsonl"))
    if not found:
        return available(NEWER)[:count]
    rows = read_trainings(found)
    rows["type"] = rows["stages"].map(lambda text: json.loads(text)[0]["type"])
    means = rows[rows["type"].isin(NEWER)].groupby("type")["accuracy"].mean()
    return list(means.sort_values(ascending=False).index[:count])


PLANS = {
    "recipe": recipe, "pilot": pilot, "start": start, "table": table, "lengths": lengths, "fewer": fewer,
    "narrow": narrow, "groups": groups, "ranked": ranked, "photos_recipe": photos_recipe, "photos": photos,
    "leaders": leaders, "deep_recipe": deep_recipe, "deep": deep, "deep_lengths": deep_lengths,
}  # fmt: skip


def main() -> None:
    """Run a plan, or a shard of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument("--data", required=True, help="an unpacked npz, or for photos the folder of train/ and test/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--pack", type=int, default=8)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--images", type=int, help="training images; each plan has its own number")
    parser.add_argument("--limit", type=int, help="only the first trainings of the plan")
    parser.add_argument("--shard", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.shard is None and arguments.processes > 1:
        shards = [
            subprocess.Popen([sys.executable, *sys.argv, "--shard", str(shard)]) for shard in range(arguments.processes)
        ]
        sys.exit(max(shard.wait() for shard in shards))
    shard = arguments.shard or 0
    wanted = list(PLANS[arguments.plan](arguments.out, arguments.seeds))[: arguments.limit]
    # Neighbours go to one shard, packs of the same plan to all in turn.
    size = arguments.pack
    packs = [wanted[begin : begin + size] for begin in range(0, len(wanted), size)]
    mine = [training for part in packs[shard :: arguments.processes] for training in part]
    if arguments.plan in ("photos_recipe", "photos", "leaders"):
        settings = DataSettings(dataset="image_folder", path=arguments.data, image_size=64, validation=0.2, flip=True)
    else:
        images = arguments.images or IMAGES.get(arguments.plan, 40_000)
        size = 32 if arguments.plan.startswith("deep") else 16
        settings = DataSettings(
            dataset="npz", path=arguments.data, image_size=size, train_limit=images, validation=0.2, flip=True
        )
    try:
        data = load_data(settings, device=arguments.device)
        test = load_test(settings, device=arguments.device)
    except InputError as error:
        sys.exit(str(error))
    run_trainings(
        mine, data, test, build=build_started, out=arguments.out / f"{arguments.plan}.{shard}.jsonl",
        device=arguments.device, pack=arguments.pack, seconds=arguments.seconds,
        progress=lambda line: print(f"{arguments.plan} shard {shard}: {line}", flush=True),
    )  # fmt: skip


if __name__ == "__main__":
    main()
