"""Nothing lost, nothing twice: searches of many quick trials while their processes, their server and their files fail.

Real workers train a stub of known score. Each round begins with two first starts at once on one storage. Then, at
random moments, workers are killed or stopped (SIGSTOP) for a while, the supervisor is killed and started again, or
stopped, or killed and started again after a file of the run was damaged, a second search is started in the same
directory, and the server stops. Afterwards every queued architecture must have exactly one finished record, none may
run, no number may be missing, every score must be what an undisturbed run gives, and every second search must have
been refused without a trace. Last, real trainings on images of which one is then changed: going on with other data
must be refused.

    python scripts/soak.py --minutes 5                       # SQLite
    python scripts/soak.py --minutes 5 --storage journal     # a journal file, which also loses half a line
    python scripts/soak.py --minutes 5 --storage postgresql  # a server of our own on loopback (Debian: postgresql)
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

TESTS = Path(__file__).resolve().parents[1] / "tests" / "search"
sys.path.insert(0, str(TESTS))

from chaos import DRIVER, Chaos  # noqa: E402
from postgres_server import Server  # noqa: E402

#: Seconds after which one round counts as stuck.
LIMIT = 600.0
#: Share of blows that wait for a trial to end: a busy machine starts a worker more slowly than blows follow each other.
PATIENT = 0.7
#: Seconds that they wait at most.
WAIT = 60.0


#: Kinds of blows with their weights; a stopped server needs one.
BLOWS = {"worker": 6, "stopped worker": 3, "supervisor": 2, "stopped supervisor": 1, "second": 2, "damage": 2}


def disturb(run: Chaos, rng: random.Random, server: Server | None) -> str:
    """One blow; what it was."""
    weights = BLOWS | ({"server": 2} if server else {})
    kind = rng.choices(list(weights), weights=list(weights.values()))[0]
    if kind == "worker":
        return "a worker was killed" if run.kill_a_worker(rng) else "no worker to kill"
    if kind == "stopped worker":
        running = run.workers()
        return stop_for_a_while(rng.choice(running), rng, "a worker") if running else "no worker to stop"
    if kind == "stopped supervisor":
        assert run.driver is not None
        return stop_for_a_while(run.driver.pid, rng, "the supervisor")
    if kind == "second":
        return start_a_second(run)
    if kind in ("supervisor", "damage"):
        run.kill_the_supervisor()
        time.sleep(rng.uniform(0, 2))
        what = f"{damage(run, rng)} was damaged, and " if kind == "damage" else ""
        run.start()
        return f"the supervisor was killed, {what}it was started again"
    assert server is not None
    server.stop()
    away = rng.uniform(0, 12)
    time.sleep(away)
    server.start()
    return f"the server was away for {away:.0f} s"


def stop_for_a_while(process: int, rng: random.Random, name: str) -> str:
    """SIGSTOP, and SIGCONT some seconds later."""
    seconds = rng.uniform(1, 15)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(process, signal.SIGCONT)
    return f"{name} was stopped for {seconds:.0f} s"


def start_a_second(run: Chaos) -> str:
    """Another search in the same directory, of a spec that asks for more: refused, and nothing is changed."""
    asked = json.loads(json.dumps(run.data))
    asked["search"] |= {"trials": 10_000, "sampler": "random"}
    before = (run.folder / "spec.yaml").read_text()
    second = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(asked), str(run.folder)],
        capture_output=True, text=True, env=run.environment, check=False,
    )  # fmt: skip
    if run.driver is not None and run.driver.poll() is not None:
        return "a second search was started when the first had ended"
    if "another search works in" not in second.stderr:
        raise SystemExit(f"a second search was not refused: {second.stderr[-2000:]}")
    if (run.folder / "spec.yaml").read_text() != before or run.study.user_attrs["spec"]["search"]["trials"] == 10_000:
        raise SystemExit("a refused second search changed the run")
    return "a second search was refused"


def damage(run: Chaos, rng: random.Random) -> str:
    """Damage a file of a run that nobody works in, in a way that a search must mend; its name."""
    kept = sorted((run.folder / "checkpoints").glob("**/*.safetensors"))
    journal = run.folder / "journal.log"
    name = rng.choice(["spec", *(["weights"] if kept else []), *(["journal"] if journal.exists() else [])])
    if name == "journal":
        with journal.open("ab") as file:
            file.write(b'{"op_code": 5, "worker_id": "half a li')
        return "the end of the journal"
    path = run.folder / "spec.yaml" if name == "spec" else rng.choice(kept)
    whole = path.read_bytes()
    path.write_bytes(rng.choice([b"", whole[: len(whole) // 2], b"\x00" * 100, b"search: ["]))
    return path.name


def race(folder: Path, storage: str, rng: random.Random) -> None:
    """Two first starts at once, in two directories on one storage: one study, one queue, each trial once."""
    runs = []
    for place in ("first", "second"):
        (folder / place).mkdir(parents=True)
        run = Chaos(folder / place / folder.name, storage=storage, trials=8, workers=2)
        runs.append(run)
    for run in runs:
        run.start()
        time.sleep(rng.uniform(0, 0.5))
    try:
        for run in runs:
            if run.wait(LIMIT):
                raise SystemExit(f"one of two first starts died: {run.log.read_text()[-3000:]}")
        runs[0].check()
        kept = Counter(trial.user_attrs.get("label") for trial in runs[0].records() if trial.user_attrs.get("label"))
        if set(kept.values()) != {1}:
            raise SystemExit(f"baselines were queued twice: {kept}")
    finally:
        for run in runs:
            run.close()
    print("race: two first starts, one study, one queue", flush=True)


def changed_data(folder: Path) -> None:
    """A search of real trainings, then one image is changed: going on must be refused, and back it goes on."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 6)):
        for name in ("a", "b"):
            (folder / "images" / split / name).mkdir(parents=True)
            for number in range(count):
                picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
                picture.save(folder / "images" / split / name / f"{number}.png")
    spec = {
        "name": "changed", "backbone": {"model": "cifar_resnet8", "options": {"width": 8}},
        "data": {"dataset": "image_folder", "path": str(folder / "images"), "image_size": 8,
                 "cache": str(folder / "cache")},
        "space": {"all": ["none", "se"]}, "proxy": {"rungs": [1], "batch_size": 8, "device": "cpu"},
        "search": {"trials": 2, "workers": 0},
    }  # fmt: skip
    file, victim = folder / "changed.yaml", folder / "images" / "train" / "a" / "0.png"

    def search(trials: int) -> subprocess.CompletedProcess[str]:
        file.write_text(yaml.safe_dump(spec | {"search": {"trials": trials, "workers": 0}}))
        return subprocess.run(
            [sys.executable, "-m", "chattn_nas", "search", str(file), "--run", str(folder / "run")],
            capture_output=True, text=True, cwd=folder, check=False,
        )  # fmt: skip

    whole = victim.read_bytes()
    first = search(2)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(victim)
    refused = search(3)
    victim.write_bytes(whole)
    again = search(3)
    told = "the data are not those" in refused.stderr + refused.stdout
    if (first.returncode, refused.returncode, again.returncode) != (0, 2, 0) or not told:
        raise SystemExit(f"changed data: {first.stderr[-900:]} | {refused.stderr[-900:]} | {again.stderr[-900:]}")
    print("data: a changed image was refused, and with the old one the search went on", flush=True)


def until_one_more_ends(run: Chaos) -> None:
    """Or the search does, or :data:`WAIT` is over."""
    ended, deadline = run.ended(), time.monotonic() + WAIT
    while run.driver is not None and run.driver.poll() is None and run.ended() == ended:
        if time.monotonic() > deadline:
            return
        time.sleep(0.2)


def one_round(
    folder: Path, number: int, trials: int, storage: str | None, server: Server | None, rng: random.Random
) -> None:
    """Two first starts at once; then a search, disturbed, until all has ended; check."""
    began = time.monotonic()
    name = f"soak-{time.time_ns()}"
    race(folder / f"{name}-race", server.url if server else f"sqlite:///{folder}/{name}-race.db", rng)
    run = Chaos(folder / name, storage=server.url if server else storage, trials=trials)
    run.enqueue_all()
    run.start()
    blows = 0
    try:
        while run.driver is not None and run.driver.poll() is None:
            if time.monotonic() - began > LIMIT:
                raise SystemExit(f"stuck: {run.ended()} of {trials} after {LIMIT:g} s; see {run.log}")
            time.sleep(rng.uniform(0.5, 8))
            if rng.random() < PATIENT:
                until_one_more_ends(run)
            if run.driver.poll() is None:
                ended, seconds = run.ended(), time.monotonic() - began
                print(f"  {seconds:5.0f} s, {ended} ended: {disturb(run, rng, server)}", flush=True)
                blows += 1
        if run.driver is None or run.driver.returncode != 0:
            raise SystemExit(run.log.read_text()[-3000:])
        run.check()
    finally:
        run.close()
    seconds = time.monotonic() - began
    print(f"round {number}: {trials} trials, {blows} blows, {seconds:.0f} s: nothing lost, nothing twice", flush=True)


def main() -> None:
    """Rounds until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--storage", choices=["sqlite", "journal", "postgresql"], default="sqlite")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    end = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = None
        if arguments.storage == "postgresql":
            place = Path(folder) / "postgres"
            place.mkdir()
            server = Server(place)
            server.start()
            stack.callback(server.stop)
        storage = "journal://{run}/journal.log" if arguments.storage == "journal" else None
        for number in range(1, arguments.rounds + 1):
            one_round(Path(folder), number, arguments.trials, storage, server, rng)
            if time.monotonic() > end:
                break
        (Path(folder) / "data").mkdir()
        changed_data(Path(folder) / "data")


if __name__ == "__main__":
    main()
