#!/usr/bin/env python
"""How well `chattn-nas plan` foretells: the planned time of a search beside the time that it takes.

    python scripts/benchmarks/plan.py quickstart --trials 24
    python scripts/benchmarks/plan.py quickstart everything all_attention_cifar --trials 30 --out plan.md

    python scripts/benchmarks/plan.py convnext_atto --trials 8 --data cifar10.npz --train-limit 2000

The machine must be idle: a plan foretells what the machine will do as it is then. ``--data`` and ``--train-limit`` put
a file of arrays in the place of a spec's own data, which may not be there.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from chattn_nas.openmp import short_waits

os.environ.update(short_waits())  # as the command line and its workers, before torch is loaded

import torch

from chattn_nas import load_spec, search
from chattn_nas.data import DataSettings
from chattn_nas.errors import ChattnError
from chattn_nas.judging import plan_search
from chattn_nas.results.words import about
from chattn_nas.search.trainer import hardware


def main() -> None:
    """Plan and search every spec, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("specs", nargs="+")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--data", type=Path, help="an npz file instead of the specs' own data")
    parser.add_argument("--train-limit", type=int)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {hardware()}, load {load:.1f} before, torch {torch.__version__}",
        "",
        "| spec | trials | planned | range | took | planned / took |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in arguments.specs:
        try:
            spec = load_spec(name)
            spec = spec.changed(search=spec.search.changed(trials=arguments.trials))
            if arguments.data:
                size, limit = spec.data.image_size, arguments.train_limit
                data = DataSettings(dataset="npz", path=str(arguments.data), image_size=size, train_limit=limit)
                spec = spec.changed(data=data)
            plan = plan_search(spec)
            with tempfile.TemporaryDirectory() as folder:
                begun = time.perf_counter()
                search(spec, run=Path(folder) / "run")
                took = time.perf_counter() - begun
        except ChattnError as error:
            print(f"{name}: {error}")
            continue
        lines.append(
            f"| {name} | {arguments.trials} | {about(plan.search)} | {about(plan.low)} to {about(plan.high)} | "
            f"{about(took)} | {plan.search / took:.2f} |"
        )
        print(lines[-1])
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
