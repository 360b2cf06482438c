"""What a large study costs: seconds and memory of reading it, of going on with it, and of one more trial.

Studies of many trials are written straight into SQLite: what a trial records is what real trials of the same run
recorded, with drawn networks and scores. Two spaces: ``usual`` has three stages and some thousand networks, ``huge``
twelve stages and more than 10^12. Every command runs in a process of its own, as a user runs it; seconds are those of
the CPU, since they are the same on a busy machine. ``trial`` is the
median of ten further trials that propose (TPE), build, count, record and tell, and are not trained. The exponent is
that of growth from the second largest study to the largest, of what is taken beyond a study of two dozen trials: 0 is
no growth at all, and 1 as much as the study's.

    python scripts/benchmarks/load.py --trials 1000 5000 20000 --out scripts/benchmarks/load.md
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import date, datetime, timedelta
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

#: Commands that read a run.
READING = ("trials", "leaderboard", "report")
#: Ended trials of the smallest study: all baselines and a few more, really proposed and recorded.
REAL, FURTHER = 24, 10
USUAL = ["none", {"se": {"reduction": [2, 4, 8, 16]}}, {"eca": {"gamma": [1, 2], "b": [1, 2]}},
         {"fca": {"frequencies": ["top1", "top2", "top4", "low2", "bot2"], "reduction": [4, 8]}},
         {"gct": {"mode": ["l1", "l2"]}}]  # fmt: skip
HUGE = ["none", {"se": {"reduction": [4, 8]}}, {"eca": {"kernel_size": [3, 5]}}, {"gct": {"mode": ["l1", "l2"]}},
        "srm", "simam", "rcan", "ortho"]  # fmt: skip


def twelve_stages(num_classes: int, in_chans: int) -> Any:
    """A backbone of twelve stages of one block each."""
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    blocks = tuple(
        ByoBlockCfg(type="basic", d=1, c=16 if i < 6 else 32, s=2 if i == 6 else 1, gs=0, br=1.0) for i in range(12)
    )
    return ByobNet(ByoModelCfg(blocks=blocks, stem_type="3x3", stem_chs=16), num_classes=num_classes, in_chans=in_chans)


def spec_of(space: str, name: str, trials: int) -> dict[str, Any]:
    """A spec as a user writes it."""
    usual = {"model": "cifar_resnet8", "options": {"width": 16}}
    return {
        "name": name,
        "backbone": usual
        if space == "usual"
        else {
            "model": "load:twelve_stages",
            "stages": [f"stages.{number}" for number in range(12)],
        },
        "data": {"dataset": "digits", "image_size": 16},
        "space": {"all": USUAL if space == "usual" else HUGE},
        "proxy": {"rungs": [2, 6], "device": "cpu"},
        "search": {"trials": trials, "workers": 0, "keep_checkpoints": 0, "devices": ["cpu"], "max_seeds": 1000},
    }


def begin(space: str, folder: Path) -> int:
    """A run with :data:`REAL` real trials; the number of different networks of its space."""
    from overhead import NoTraining

    from chattn_nas.search._join import join
    from chattn_nas.spec.spec import Spec
    from chattn_nas.study.run import RunDirectory

    spec = Spec.from_dict(spec_of(space, folder.name, REAL))
    join(RunDirectory.create(spec, folder), trainer=NoTraining)
    return spec.search_space().canonical_size


def fill(folder: Path, trials: int) -> None:
    """Write trials into the study until it has so many."""
    import optuna
    from optuna.distributions import CategoricalDistribution, distribution_to_json
    from optuna.storages._rdb import models
    from optuna_dashboard._note import note_ver_key, split_body
    from sqlalchemy import insert

    from chattn_nas.study._optuna import trial_note
    from chattn_nas.study.run import RunDirectory

    run = RunDirectory(folder)
    study, space = run.study, run.spec.search_space()
    told = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    pattern = next(trial for trial in reversed(told) if not trial.user_attrs.get("label"))
    note = trial_note(study, pattern._trial_id)
    choices = {name: tuple(values) for name, values in space.parameters().items()}
    texts = {name: distribution_to_json(CategoricalDistribution(values)) for name, values in choices.items()}
    rng, began = random.Random(0), datetime.now()
    seeds: dict[str, int] = {}
    for trial in study.trials:
        hash, seed = trial.user_attrs.get("hash", ""), trial.user_attrs.get("seed")
        seeds[hash] = max(seeds.get(hash, -1), -1 if seed is None else seed)
    rows: dict[Any, list[dict[str, Any]]] = {}

    def add(model: Any, **row: Any) -> None:
        rows.setdefault(model, []).append(row)

    def write() -> None:
        with engine.begin() as connection:
            for model, many in rows.items():
                connection.execute(insert(model), many)
        rows.clear()

    engine = study._storage._backend.engine  # type: ignore[attr-defined]
    first = len(study.trials)
    for number in range(first, trials):
        key = pattern._trial_id + 10 * trials + number  # above all that are there
        network = space.random(rng)
        hash = network.hash
        seed = seeds[hash] = seeds.get(hash, -1) + 1
        score = 0.8 + 0.02 * math.sin(sum(map(ord, hash))) + rng.gauss(0, 0.01)
        stopped, start = rng.random() < 0.5, began + timedelta(seconds=number)
        add(models.TrialModel, trial_id=key, number=number, study_id=study._study_id, state="PRUNED" if stopped else
            "COMPLETE", datetime_start=start, datetime_complete=start + timedelta(seconds=1))  # fmt: skip
        measured = dict(pattern.user_attrs["measurement"], seed=seed, outcome="pruned" if stopped else "complete")
        given = measured["rungs"][-1]
        first_score = score - 0.1 + rng.gauss(0, 0.01)
        rungs = [given | {"epoch": 2, "score": first_score}, given | {"epoch": 6, "score": score}]
        measured["rungs"] = rungs[:1] if stopped else rungs
        attributes = pattern.user_attrs | {
            "architecture": network.to_dict(), "hash": hash, "seed": seed, "measurement": measured,
            "outcome": measured["outcome"],
        }  # fmt: skip
        for name_of, value in attributes.items():
            add(models.TrialUserAttributeModel, trial_id=key, key=name_of, value_json=json.dumps(value))
        for name_of, value in pattern.system_attrs.items():
            add(models.TrialSystemAttributeModel, trial_id=key, key=name_of, value_json=json.dumps(value))
        for name_of, value in (space.params(network) or {}).items():
            add(models.TrialParamModel, trial_id=key, param_name=name_of, param_value=choices[name_of].index(value),
                distribution_json=texts[name_of])  # fmt: skip
        if not stopped:
            add(models.TrialValueModel, trial_id=key, objective=0, value=score, value_type="FINITE")
        for rung in measured["rungs"]:
            add(models.TrialIntermediateValueModel, trial_id=key, step=rung["epoch"], intermediate_value=rung["score"],
                intermediate_value_type="FINITE")  # fmt: skip
        for name_of, part in {note_ver_key(key): 1, **split_body(note, key)}.items():
            add(models.StudySystemAttributeModel, study_id=study._study_id, key=name_of, value_json=json.dumps(part))
        if number % 500 == 499:
            write()
    write()


def go_on(folder: Path) -> dict[str, float]:
    """Seconds until the first further trial has ended, and of those after it."""
    started = time.process_time()
    from overhead import NoTraining

    from chattn_nas.search._join import join
    from chattn_nas.study.run import RunDirectory

    spec = RunDirectory(folder).spec
    with contextlib.closing(sqlite3.connect(folder / "study.db")) as database:
        (ended_so_far,) = database.execute("SELECT count(*) FROM trials").fetchone()
    search = spec.search.changed(trials=ended_so_far + 1 + FURTHER)
    ended: list[float] = []
    with RunDirectory.held(spec.changed(search=search), folder) as held:
        join(held, trainer=NoTraining, ended=lambda study: ended.append(time.process_time()))
    later = [after - before for before, after in pairwise(ended)]
    return {"resume": ended[0] - started - median(later), "trial": median(later)}


def one(what: str, folder: Path) -> dict[str, float]:
    """What a fresh process takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.run(
        [sys.executable, __file__, "--measure", what, str(folder)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))},
        check=False,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if process.returncode:
        raise SystemExit(f"{what} of {folder.name}: {process.stderr[-3000:]}")
    found: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return {what: seconds} | found if what in READING else found


def measure(what: str, folder: Path) -> None:
    """In this process; the last line that is printed is JSON."""
    found: dict[str, float] = {}
    if what in READING:
        from chattn_nas.cli import main

        sys.argv = ["chattn-nas", what, str(folder)]
        try:
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                main()
        except SystemExit as end:
            if end.code:
                raise
        if what == "report":
            found["page"] = (folder / "report.html").stat().st_size / 1e6
    else:
        found = go_on(folder)
    status = Path("/proc/self/status").read_text()  # what getrusage tells begins with the parent's
    found[f"memory of {what}"] = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps(found))


def exponent(sizes: list[int], values: list[float], least: float) -> float | None:
    """Of growth between the two largest studies; none where nothing grows that could be told from noise."""
    if len(sizes) < 2:
        return None
    before, after = (max(value - least, 0.0) for value in values[-2:])
    if after < 0.1 * max(least, 1e-9):
        return 0.0
    return math.log(max(after, 1e-9) / max(before, 0.02 * least, 1e-3)) / math.log(sizes[-1] / sizes[-2])


ROWS = ("trials", "leaderboard", "report", "resume", "trial", "page",
        "memory of trials", "memory of leaderboard", "memory of report", "memory of go on")  # fmt: skip
UNITS = {"page": "MB", "trial": "ms"}


def table(space: str, networks: int, sizes: list[int], found: dict[int, dict[str, float]]) -> list[str]:
    """As Markdown."""
    columns = [REAL, *sizes]
    lines = [f"## {space}: {networks:.3g} different networks", "",
             f"| | unit | {' | '.join(f'{size:,} trials' for size in columns)} | exponent |",
             "|---|---|" + "---:|" * (len(columns) + 1)]  # fmt: skip
    for row in ROWS:
        values = [found[size][row] for size in columns]
        grown = exponent(sizes, values[1:], values[0])
        unit = UNITS.get(row, "MB" if row.startswith("memory") else "s")
        factor, digits = {"ms": (1000, 0), "s": (1, 1)}.get(unit, (1, 2 if row == "page" else 0))
        cells = " | ".join(f"{factor * value:,.{digits}f}" for value in values)
        lines.append(f"| {row} | {unit} | {cells} | {'' if grown is None else f'{grown:.1f}'} |")
    return [*lines, ""]


def main() -> None:
    """Build the studies, measure, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 5000, 20000])
    parser.add_argument("--spaces", nargs="+", choices=["usual", "huge"], default=["usual", "huge"])
    parser.add_argument("--folder", type=Path, help="keep the runs there; a temporary folder by default")
    parser.add_argument("--out", type=Path, help="write the tables there, too")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "RUN"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        return measure(given.measure[0], Path(given.measure[1]))
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "timm", "optuna"))
    command = f"python scripts/benchmarks/load.py --trials {' '.join(map(str, given.trials))}"
    machine = f"{date.today()}, {platform.machine()}, {os.cpu_count()} CPUs, one thread, SQLite"
    python = f"Python {platform.python_version()}"
    page = ["# A large study", "", f"{machine}, {python}, {versions}. `{command}`; the script says what is measured."]
    page.append("")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        for space in given.spaces:
            found: dict[int, dict[str, float]] = {}
            run = folder / space
            networks = begin(space, run)
            for size in [REAL, *sorted(given.trials)]:
                if size > REAL:
                    started = time.perf_counter()
                    fill(run, size)
                    print(f"{space}: {size:,} trials written in {time.perf_counter() - started:.0f} s", flush=True)
                found[size] = {name: value for what in (*READING, "go on") for name, value in one(what, run).items()}
                print(f"{space}: {size:,} trials: {json.dumps(found[size])}", flush=True)
            page += table(space, networks, sorted(given.trials), found)
            if given.out:
                given.out.write_text("\n".join(page))
    print("\n".join(page))


if __name__ == "__main__":
    main()
