"""How long the quick commands take: CPU and wall seconds and peak memory of fresh processes, the median of several.

    .venv/bin/python scripts/benchmarks/startup.py [--repeat 5]

``import`` is ``import chattn_nas``; ``refused`` a search whose spec has an unknown key; ``trials`` lists a run, of
the quickstart, that is made first.
Results: startup.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import": ["-c", "import chattn_nas"],
    "help": ["-m", "chattn_nas", "--help"],
    "version": ["-m", "chattn_nas", "--version"],
    "schema": ["-m", "chattn_nas", "schema"],
    "refused": ["-m", "chattn_nas", "search", "{spec}"],
    "trials": ["-m", "chattn_nas", "trials", "quickstart"],
}


def measured(arguments: list[str], cwd: str) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and MiB of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != (2 if arguments[-1].endswith(".yaml") else 0):
        raise SystemExit(f"{' '.join(arguments)} ended with status {status}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    print(
        f"Python {sys.version.split()[0]}, torch {version('torch')}, optuna {version('optuna')}, {os.cpu_count()} cores"
    )
    print("\n| command | CPU s | wall s | MiB |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        measured(["-m", "chattn_nas", "search", "quickstart", "--trials", "1"], folder)
        spec = Path(folder) / "spec.yaml"
        spec.write_text("name: a\nbackbon: {model: cifar_resnet8}\n")
        for name, words in COMMANDS.items():
            arguments = [word.format(spec=spec) for word in words]
            measured(arguments, folder)  # compiles, and fills the page cache
            runs = [measured(arguments, folder) for _ in range(repeat)]
            cpu, wall, memory = (statistics.median(column) for column in zip(*runs, strict=True))
            print(f"| {name} | {cpu:.2f} | {wall:.2f} | {memory:.0f} |")


if __name__ == "__main__":
    main()
