#!/usr/bin/env python
r"""Samplers and pruners on tables and simulated worlds, and how often a search ends too early; docs/cost.md has it.

    python scripts/benchmarks/samplers.py search --keep FILE --ground world_settings --method pooled --method tpe
    python scripts/benchmarks/samplers.py search --keep FILE --ground cifar_resnet8_16px_20ep \
        --method "pooled + one-shot 7"
    python scripts/benchmarks/samplers.py search --keep FILE --ground world_deep \
        --method "pooled, told how worlds are drawn"
    python scripts/benchmarks/samplers.py page --keep FILE
    python scripts/benchmarks/samplers.py end --keep OTHER --ground world_quiet --method pooled
    python scripts/benchmarks/samplers.py ends --keep OTHER

Every search adds its rows to the CSV file as it ends, and what stands there is not searched again: calls with
``--minutes`` add up. Beside this file, samplers.csv holds the searches that docs/cost.md shows. Search n of every
method has the same world or the same unseen seed, so methods are compared in pairs; the unit of every interval is a
world, or a seed of a table (Student's t).
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import optuna
import pandas as pd
from one_shot import KEPT, SCORING, choices_of
from scipy import stats

from chattn_nas.benchmark import compare
from chattn_nas.benchmark.answers import Interval
from chattn_nas.benchmark.compare import METHODS, NEAR, _split, cost_to_come_near, course, run_search
from chattn_nas.benchmark.simulate import ranked, simulate
from chattn_nas.benchmark.worlds import KINDS, Kind
from chattn_nas.results.pooled import Pooled
from chattn_nas.search.one_shot.run import SCORED
from chattn_nas.search.pooled.evidence import Reader
from chattn_nas.search.pooled.settled import outlook
from chattn_nas.search.session import quiet_optuna
from chattn_nas.spec.judging_settings import USEFUL
from chattn_nas.spec.search_settings import SearchSettings
from chattn_nas.study.history import history
from chattn_nas.study.prediction import Prediction, centred

#: Trainings after which a search is asked for its pick.
ASKED = (10, 12, 20, 28, 40)
#: Those that the page shows.
SHOWN = (10, 20, 40)
#: After a method: its model need not learn the standard deviations of a world, which no search could know.
TOLD = ", told how worlds are drawn"
#: Points that stand for a term which worlds have not; its logarithm is needed.
NEGLIGIBLE = 0.01

Row = dict[str, Any]
ground = cache(compare.ground)


def added(arguments: argparse.Namespace, one: Callable[[str, str, int], list[Row]]) -> None:
    """Ask ``one`` for the rows of every search that the file lacks: search by search, so that an early end is whole."""
    keep: Path = arguments.keep
    known = pd.read_csv(keep) if keep.is_file() else pd.DataFrame(columns=["ground", "method", "search"])
    done = set(zip(known["ground"], known["method"], known["search"], strict=True))
    end = time.monotonic() + 60 * arguments.minutes
    for wanted in itertools.product(range(arguments.searches), arguments.ground, arguments.method):
        number, where, method = wanted
        if (where, method, number) in done:
            continue
        if time.monotonic() > end:
            return
        rows = one(where, method, number)
        new = not keep.is_file()
        with keep.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerows(rows)


def searched(where: str, method: str, number: int) -> list[Row]:
    """The course of one search; after ``+ one-shot`` the epochs of a supernet, whose cost is counted."""
    begun, table = time.process_time(), ground(where)(number)
    sampler, _, epochs = method.removesuffix(TOLD).partition(" + one-shot ")
    shared = shared_weights(table, int(epochs), number) if epochs else None
    paid = int(epochs) / table.rungs[-1] + SCORING if epochs else 0.0
    with told_how(table.kind) if method.endswith(TOLD) else nullcontext():
        found = run_search(table, sampler, number, ASKED[-1], shared)
        points = course(found, [trainings - paid for trainings in ASKED])
    seconds = round(time.process_time() - begun, 2)
    unseen = " ".join(map(str, found.unseen)) if where not in KINDS else f"world {number}"
    head = {"ground": where, "method": method, "search": number, "unit": unseen, "seconds": seconds}
    return [
        head | {key: round(value, 4) for key, value in asdict(replace(point, trainings=asked)).items()}
        for asked, point in zip(ASKED, points, strict=True)
    ]


@contextmanager
def told_how(kind: Kind) -> Iterator[None]:
    """Fits the pooled model with the standard deviations that worlds of a kind without early rungs are drawn from."""
    true = {name: getattr(kind, name) for name in ("type", "setting", "pair", "type_seed", "noise")}

    def integrate(self: Pooled) -> None:
        likelihood = self._likelihood
        sds = [max(true.get(name, 0.0), NEGLIGIBLE) for name in likelihood.names]
        self._points, self._weights = np.log([sds]), np.ones(1)
        self._states = [likelihood.state(point) for point in self._points]
        self.deviations = {"pair": 0.0, "type_seed": 0.0} | dict(zip(likelihood.names, sds, strict=True))
        self.worth, self.held_out = {}, np.full(len(self.seen), np.nan)

    with mock.patch.object(Pooled, "_integrate", integrate):
        yield


def shared_weights(table: Any, epochs: int, number: int) -> Prediction:
    """The prediction by one of the supernets that one_shot.py trained; its effects follow from its sums over stages."""
    lines = (KEPT / table.spec.name / "supernets.jsonl").read_text().splitlines()
    rows = [row for line in lines if (row := json.loads(line))["epochs"] == epochs]
    row = rows[number % len(rows)]
    of = choices_of(table)
    choices = [[(at, choice) for at, (_, choice) in enumerate(of[key])] for key in row["additive"]]
    labels = sorted({label for one in choices for label in one})
    design = np.array([[label in one for label in labels] for one in choices], dtype=float)
    fitted = np.linalg.lstsq(design, np.array(list(row["additive"].values())), rcond=None)[0]
    effects: list[dict[str, float]] = [{} for _ in choices[0]]
    for (at, key), value in zip(labels, fitted.tolist(), strict=True):
        effects[at][key] = value
    images = table.spec.data.train_limit or int(table.rows["images"].iloc[0])
    return Prediction(
        **centred(0.0, effects), fitted=row["explained"], scored=SCORED * len(labels), epochs=epochs, images=images,
        seconds=sum(row["seconds"]), seed=row["seed"],
    )  # fmt: skip


def ended(where: str, method: str, number: int, budget: int = 60) -> list[Row]:
    """When one search would have ended itself, and what its pick was worth then."""
    table = ground(where)(number)
    sampler, pruner = METHODS[method](table, number)
    seen, _ = _split(table, number, max(1, len(table.seeds) - 1))
    reader, look_at = Reader(table.space), 0

    def settled(study: optuna.Study) -> bool:
        """As :class:`chattn_nas.search.pooled.settled.EarlyEnd` looks."""
        nonlocal look_at
        counted = history(study).counted
        if counted < look_at:
            return False
        look_at = counted + max(1, counted // 10)
        found = outlook(study, table.space, SearchSettings(seed=number), USEFUL, reader)
        return found is not None and found.settled

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        records = simulate(table, sampler, budget=budget, seeds=seen, pruner=pruner, settled=settled)
    trainings = sum(record.rungs[-1].epoch for record in records) / table.rungs[-1]
    short = table.short(ranked(records, "pooled")[0])
    return [{"ground": where, "method": method, "search": number, "trainings": trainings,
             "early": trainings < budget, "short": short}]  # fmt: skip


def interval(values: pd.Series, units: pd.Series) -> tuple[float, float]:
    """Mean and half of its 95 % interval over units; those of a table are seeds, and share trainings of the others."""
    means = values.groupby(units).mean().dropna()
    if len(means) < 2:
        return float(values.mean()), float("nan")
    of_worlds = str(means.index[0]).startswith("world")
    found = Interval.over(means, others=0 if of_worlds else len(means) - 1)
    return found.mean, found.high - found.mean


def told(values: pd.Series, units: pd.Series, *, sign: bool = False) -> str:
    """In words; a value that is not zero by more than its interval is bold where it is a difference."""
    mean, half = interval(values, units)
    if np.isnan(mean):
        return ""
    said = f"{mean:{'+' if sign else ''}.2f} ± {half:.2f}"
    return f"**{said}**" if sign and abs(mean) > half else said


def page(rows: pd.DataFrame) -> Iterator[str]:
    """Per table: how far from the best, what others have more than ``pooled``, ranking, and the cost to come near."""
    heads = ["method", "searches", *(f"below the best: {n}" for n in SHOWN)]
    heads += [f"more than pooled: {n}" for n in SHOWN] + [f"tau: {n}" for n in SHOWN]
    heads += [f"cost to within {NEAR:g}", "s"]
    for where, part in rows.groupby("ground", sort=False):
        units = part["unit"].nunique()
        yield f"### `{where}`: {units} {'worlds' if where in KINDS else 'seeds left unseen in turn'}\n"
        yield f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}"
        pooled = at(part, "pooled")
        for method in part["method"].unique():
            mine = at(part, method)
            if len(mine) < 2:  # nothing tells how far it scatters
                continue
            cells = [told(mine[n, "short"], mine["unit", ""]) for n in SHOWN]
            cells += ["" if method == "pooled" else less(mine, n, pooled, n) for n in SHOWN]
            cells += [told(mine[n, "tau"], mine["unit", ""]) for n in SHOWN]
            seconds = part.loc[part["method"] == method, "seconds"].median()
            yield f"| {method} | {len(mine)} | {' | '.join(cells)} | {near(mine)} | {seconds:.0f} |"
        tpe = at(part, "tpe") if "tpe" in set(part["method"]) else None
        if tpe is not None:
            said = [f"{few} trainings by {method.replace(',', ' that was')} less 40 by tpe: {less(mine, few, tpe, 40)}"
                    for method in part["method"].unique() if method == "pooled" or method.endswith(TOLD)
                    for mine in [at(part, method)] for few in (12, 20)]  # fmt: skip
            yield f"\nPoints below the best, {'; '.join(said)}."
        yield ""


def at(part: pd.DataFrame, method: str) -> pd.DataFrame:
    """One row per search; columns are (trainings, value) and the unit."""
    mine = part[part["method"] == method]
    wide = mine.pivot(index="search", columns="trainings", values=["short", "gain", "tau"]).swaplevel(axis=1)
    wide["unit", ""] = mine.drop_duplicates("search").set_index("search")["unit"]
    return wide


def less(one: pd.DataFrame, trainings: int, other: pd.DataFrame, theirs: int) -> str:
    """Points below the best after so many trainings less those of other searches after ``theirs``, in pairs."""
    both = one.index.intersection(other.index)
    if not len(both):
        return ""
    apart = one.loc[both, (trainings, "short")] - other.loc[both, (theirs, "short")]
    return told(apart, one.loc[both, ("unit", "")], sign=True)


def near(mine: pd.DataFrame) -> str:
    """Cost to come near on average, with its interval."""
    short = mine.xs("short", axis=1, level=1)[list(ASKED)].to_numpy()
    cost = cost_to_come_near(ASKED, short, list(mine["unit", ""]))
    words = [f"{one:.0f}" if np.isfinite(one) else f"> {ASKED[-1]}" for one in cost.values()]
    return f"{words[0]} [{words[1]}, {words[2]}]"


def ends(rows: pd.DataFrame) -> Iterator[str]:
    """How many searches ended themselves, after how many trainings, and with how bad a pick."""
    heads = ("where", "searches", "ended themselves", "after (median)", f"more than {USEFUL:g} below the best", "95 %",
             "below the best, mean", "the others after all trainings, mean")  # fmt: skip
    yield f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}"
    for (where, method), part in rows.groupby(["ground", "method"], sort=False):
        some, rest = part[part["early"]], part[~part["early"]]
        cells = [f"`{where}`, {method}", str(len(part)), str(len(some)), *[""] * 4]
        if len(some):
            wrong = int((some["short"] > USEFUL).sum())
            low, high = (100 * one for one in stats.binomtest(wrong, len(some)).proportion_ci())
            cells[3:] = [f"{some['trainings'].median():.0f}", f"{wrong} of {len(some)}",
                         f"{low:.0f} to {high:.0f} %", f"{some['short'].mean():.2f}"]  # fmt: skip
        cells.append(f"{rest['short'].mean():.2f}" if len(rest) else "")
        yield f"| {' | '.join(cells)} |"


def main(given: Sequence[str] | None = None) -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("search", "page", "end", "ends"))
    parser.add_argument("--keep", type=Path, required=True, help="CSV file")
    parser.add_argument("--ground", action="append", default=[], help="table or kind of world; several times")
    parser.add_argument("--method", action="append", default=[], help="as compare-samplers has them; several times")
    parser.add_argument("--searches", type=int, default=12)
    parser.add_argument("--minutes", type=float, default=1e9, help="no search begins later")
    arguments = parser.parse_args(given)
    quiet_optuna()
    if arguments.what in ("search", "end"):
        added(arguments, searched if arguments.what == "search" else ended)
    else:
        print("\n".join((page if arguments.what == "page" else ends)(pd.read_csv(arguments.keep))))


if __name__ == "__main__":
    main()
