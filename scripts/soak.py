"""Nothing lost, nothing twice: searches of many quick trials while their processes, their server and their disk fail.

Real workers train a stub of known accuracy. At random moments workers are killed, the supervisor is killed and started
again, and the server stops. Afterwards every queued architecture must have exactly one finished record, none may run,
no number may be missing, and every accuracy must be what an undisturbed run gives.

    python scripts/soak.py --minutes 5                       # SQLite
    python scripts/soak.py --minutes 5 --storage postgresql  # a server of our own on loopback (Debian: postgresql)
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests" / "search"
sys.path.insert(0, str(TESTS))

from chaos import Chaos  # noqa: E402
from postgres_server import Server  # noqa: E402

#: Seconds after which one round counts as stuck.
LIMIT = 600.0
#: Share of blows that wait for a trial to end: a busy machine starts a worker more slowly than blows follow each other.
PATIENT = 0.7
#: Seconds that they wait at most.
WAIT = 60.0


def disturb(run: Chaos, rng: random.Random, server: Server | None) -> str:
    """One blow."""
    kind = rng.choices(["worker", "supervisor", "server"], weights=[6, 2, 2 if server else 0])[0]
    if kind == "worker":
        return "a worker was killed" if run.kill_a_worker(rng) else "no worker to kill"
    if kind == "supervisor":
        run.kill_the_supervisor()
        time.sleep(rng.uniform(0, 2))
        run.start()
        return "the supervisor was killed and started again"
    assert server is not None
    server.stop()
    away = rng.uniform(0, 12)
    time.sleep(away)
    server.start()
    return f"the server was away for {away:.0f} s"


def until_one_more_ends(run: Chaos) -> None:
    """Or the search does, or :data:`WAIT` is over."""
    ended, deadline = run.ended(), time.monotonic() + WAIT
    while run.driver is not None and run.driver.poll() is None and run.ended() == ended:
        if time.monotonic() > deadline:
            return
        time.sleep(0.2)


def one_round(folder: Path, number: int, trials: int, server: Server | None, rng: random.Random) -> None:
    """Search, disturbed, until all has ended; check."""
    began = time.monotonic()
    run = Chaos(folder / f"soak-{time.time_ns()}", storage=server and server.url, trials=trials)
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
    parser.add_argument("--storage", choices=["sqlite", "postgresql"], default="sqlite")
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
        for number in range(1, arguments.rounds + 1):
            one_round(Path(folder), number, arguments.trials, server, rng)
            if time.monotonic() > end:
                break


if __name__ == "__main__":
    main()
