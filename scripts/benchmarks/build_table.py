#!/usr/bin/env python
"""Trains every network of a spec's space on several seeds, resumable, and writes what each gave.

    .venv/bin/python scripts/benchmarks/build_table.py SPEC --seeds 3 --out FILE.csv.xz [--data FILE.npz]

FILE is the record: run it again, on any machine, and what stands there is not trained again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from chattn_nas import load_spec
from chattn_nas.benchmark.build import build_table


def main() -> None:
    """Build the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run", type=Path, help="directory of the run that trains; runs/<name>-table by default")
    parser.add_argument("--data", help="where the data lie on this machine, instead of the spec's data.path")
    parser.add_argument("--workers", type=int, help="worker processes; one per device by default")
    parser.add_argument("--part", type=int, default=20, help="trainings between two writings of FILE")
    arguments = parser.parse_args()
    spec = load_spec(arguments.spec)
    if arguments.data:
        spec = spec.model_copy(update={"data": spec.data.model_copy(update={"path": arguments.data})})
    rows = build_table(
        spec,
        seeds=arguments.seeds,
        out=arguments.out,
        run=arguments.run or Path("runs") / f"{spec.name}-table",
        part=arguments.part,
        workers=arguments.workers,
    )
    print(f"{len(rows)} trainings of {rows['hash'].nunique()} networks: {arguments.out}")


if __name__ == "__main__":
    main()
