"""Runs many searches on a table, to compare samplers, pruners, and ways to pick the winner."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial
from scipy import stats

from chattn_nas.arguments import checked
from chattn_nas.benchmark.answers import Interval
from chattn_nas.benchmark.evolution import RegularizedEvolution
from chattn_nas.benchmark.simulate import ranked, simulate
from chattn_nas.benchmark.table import Table, load, table_specs
from chattn_nas.benchmark.worlds import KINDS, World
from chattn_nas.errors import InputError
from chattn_nas.plural import plural
from chattn_nas.results.pooled import choices_of, choices_of_stages, fit
from chattn_nas.results.tables import CRITERIA
from chattn_nas.search.by_path import made_by_path
from chattn_nas.search.pooled.acquisition import RULE, RULES
from chattn_nas.search.pooled.sampler import PooledSampler
from chattn_nas.search.pruning import build_pruner
from chattn_nas.search.samplers import build_sampler
from chattn_nas.search.session import quiet_optuna
from chattn_nas.search.whole_network import WholeNetworkSampler
from chattn_nas.spec.search_settings import SearchSettings
from chattn_nas.study.prediction import Prediction
from chattn_nas.study.record import Record

Method = Callable[["Table | World", int], tuple[BaseSampler, BasePruner | None]]
#: What a search is tried on: the same table for every search, or a world drawn anew for each.
Ground = Callable[[int], "Table | World"]


def _ours(name: str, pruner: str = "none") -> Method:
    def make(table: Table | World, seed: int) -> tuple[BaseSampler, BasePruner | None]:
        settings = SearchSettings.model_validate({"sampler": name, "pruner": pruner, "seed": seed})
        return build_sampler(settings, table.space), build_pruner(settings, table.rungs, table.space)

    return make


def _pooled(rule: str = RULE, pruner: str = "none") -> Method:
    def make(table: Table | World, seed: int) -> tuple[BaseSampler, BasePruner | None]:
        settings = SearchSettings.model_validate({"pruner": pruner, "seed": seed})
        most, holds = max(1, len(table.seeds) - 1), table.holds if table.share < 1 else None
        sampler = PooledSampler(table.space, seed, most=most, holds=holds, rule=rule)
        return sampler, build_pruner(settings, table.rungs, table.space)

    return make


#: What is compared, by name; after ``+`` what stops trials at the table's rungs: asynchronous successive halving,
#: Hyperband, or the pooled model.
METHODS: dict[str, Method] = {
    "random": _ours("random"),
    "pooled": _pooled(),
    "tpe": _ours("tpe"),
    "tpe group": lambda table, seed: (TPESampler(seed=seed, multivariate=True, group=True), None),
    "nsga2": _ours("nsga2"),
    "gp": _ours("gp"),
    "evolution": lambda table, seed: (RegularizedEvolution(table.space, seed), None),
    "random + halving": _ours("random", "successive_halving"),
    "tpe + halving": _ours("tpe", "successive_halving"),
    "gp + halving": _ours("gp", "successive_halving"),
    "pooled + halving": _pooled(pruner="successive_halving"),
    "pooled + pooled": _pooled(pruner="pooled"),
    "pooled + hyperband": _pooled(pruner="hyperband"),
    **{f"pooled by {rule}": _pooled(rule) for rule in RULES},
}
#: What is compared where nothing is named: without the other rules of ``pooled``.
USUAL = tuple(name for name in METHODS if " by " not in name)
#: How near to the best network "near enough" is, in points.
NEAR = 0.2
#: Parts of the budget after which a search is asked for its pick.
ASKED = (0.25, 0.35, 0.5, 0.7, 1.0)


def ground(name: str) -> Ground:
    """Find the table, or the kind of simulated worlds (:data:`.worlds.KINDS`), of that name.

    Raises:
        InputError: There is neither.
    """
    if name in KINDS:
        return lambda number: World(name, number)
    if name not in table_specs():
        raise InputError(f"there is no table {name!r}", value=name, choices=(*table_specs(), *KINDS))
    table = load(name)
    return lambda number: table


@checked
def compare_samplers(
    tables: Mapping[str, Ground], *, budget: int = 40, repeats: int = 100, methods: Sequence[str] = USUAL,
    seed: int = 0, progress: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:  # fmt: skip
    """The regret of every method on every table, for every way to pick the winner, and the cost to come near the best.

    Every search leaves one seed of the table unseen. ``regret`` counts from the table's means, in which the trainings
    that the search saw have a part, luck included: it favours who picks the luckiest. ``gain`` is measured on the
    unseen seed alone. ``cost`` counts from what the pooled model makes of all test accuracies of the table; of a
    simulated world all three are counted from its truth.

    Args:
        tables: Tables and worlds from :func:`ground`, by name.
        budget: In full trainings, baselines included.
        repeats: Searches per method and table, each with seeds of its own.
        methods: Some of :data:`METHODS`, or another Optuna sampler by path (``module:Class``, ``optunahub:NAME``).
        seed: Seed of the first search.
        progress: Called with a line after every method.

    Returns:
        One row per table, method and criterion: ``table, method, by, budget, repeats, regret`` (points of test accuracy
        below the table's best mean), ``low, high`` (95 %), ``gain`` (points above the average network on the unseen
        seed; NaN where the table has but one), ``gain_low, gain_high``, ``gain10`` (the same of the ten networks ranked
        highest, which hangs less on the luck of one), ``found`` (share of searches that picked the network with the
        best mean), ``trained`` (different networks, mean), ``cost`` (trainings after which the pick of the pooled
        model is :data:`NEAR` the best on average; infinite where it never is), ``cost_low, cost_high`` (95 %, over
        unseen seeds and searches), ``tau, tau_low, tau_high`` (Kendall's tau of the pooled model's ranking in the end,
        see :class:`Point`).

    Raises:
        InputError: An unknown method.
    """
    _known(methods)
    quiet_optuna()
    rows: list[dict[str, object]] = []
    for place, (label, at) in enumerate(tables.items()):
        for name in methods:
            searches = [run_search(at(number), name, number, budget) for number in range(seed, seed + repeats)]
            trained = float(np.mean([len({record.hash for record in one.records}) for one in searches]))
            spent = [max(4.0, round(part * budget)) for part in ASKED]
            courses = [course(one, spent) for one in searches]
            cost = cost_to_come_near(
                spent, np.array([[point.short for point in one] for one in courses]), [one.unit for one in searches]
            )
            taus = np.array([one[-1].tau for one in courses])
            tau = dict(zip(("tau", "tau_low", "tau_high"), _over(taus, [one.unit for one in searches]), strict=True))
            for by in CRITERIA:
                rankings = [ranked(one.records, by) for one in searches]
                judged = _judged(searches, rankings)
                rows.append({"table": label, "method": name, "by": by, "budget": budget, **judged, "trained": trained,
                             **cost, **tau})  # fmt: skip
            each = f"{plural(repeats, 'search')} of {plural(budget, 'training')}"
            progress(f"{label} ({place + 1} of {len(tables)}), {name}: {each}")
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Search:
    """One search on a table, without the seeds ``unseen``."""

    table: Table | World
    records: list[Record]
    unseen: list[int]

    @property
    def unit(self) -> Hashable:
        """The unit of the search: those with the same unseen seeds share luck; every world is a unit of its own."""
        return tuple(sorted(self.unseen)) if isinstance(self.table, Table) else self.table.number

    def after(self, trainings: float) -> list[Record]:
        """The records after that many full trainings."""
        known: list[Record] = []
        cost = 0.0
        for record in self.records:
            cost += record.rungs[-1].epoch / self.table.rungs[-1]
            if known and cost > trainings + 1e-9:
                break
            known.append(record)
        return known


@dataclass(frozen=True, kw_only=True)
class Point:
    """The state of a search.

    Attributes:
        trainings: Full trainings spent so far, baselines included.
        short: By how many points the pooled model's pick is worse than the best network.
        gain: By how many points it is above the average network, on the unseen seeds; NaN if there are none.
        tau: Kendall's tau between what the pooled model says of all networks, trained or not, and what they gave on
            the unseen seeds; of a simulated world 200 networks and their truth. NaN where there is no model yet.
    """

    trainings: float
    short: float
    gain: float
    tau: float


def course(search: Search, budgets: Sequence[float]) -> list[Point]:
    """The states of a search after several numbers of full trainings."""
    crowd = search.table.crowd
    worth = search.table.above(list(crowd), search.unseen)
    points = []
    for trainings in budgets:
        records = search.after(trainings)
        model, pick = fit(records), ranked(records, "mean")[0]
        tau = float("nan")
        if model is not None:
            trained = {record.hash: choices_of(record) for record in records if record.score is not None}
            pick = list(trained)[int(model.predict(list(trained.values())).mean.argmax())]
            every = [choices_of_stages(network.to_dict()["stages"]) for network in crowd.values()]
            if not np.isnan(worth).any():
                tau = float(stats.kendalltau(model.predict(every).mean, worth).statistic)
        gain = float(search.table.above([pick], search.unseen)[0])
        points.append(Point(trainings=trainings, short=search.table.short(pick), gain=gain, tau=tau))
    return points


def run_search(
    table: Table | World, name: str, number: int, budget: int, prediction: Prediction | None = None
) -> Search:
    """Run search number ``number`` on a table by one of :data:`METHODS`, or a sampler by path, without one seed.

    With a ``prediction`` by shared weights, as with ``search.one_shot``.

    Raises:
        InputError: An unknown method.
    """
    _known([name])
    method = METHODS.get(name) or _by_path(name)
    sampler, pruner = method(table, number)
    seen, left = _split(table, number, max(1, len(table.seeds) - 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        records = simulate(table, sampler, budget=budget, seeds=seen, pruner=pruner, prediction=prediction)
    return Search(table, records, left)


def _known(methods: Sequence[str]) -> None:
    for name in methods:
        if name not in METHODS and ":" not in name:
            raise InputError(f"there is no method {name!r}", value=name, choices=METHODS)


def _by_path(name: str) -> Method:
    return lambda table, seed: (made_by_path(name, BaseSampler, seed=seed, space=table.space), None)


def cost_to_come_near(budgets: Sequence[float], short: np.ndarray, units: Sequence[Hashable]) -> dict[str, float]:
    """Trainings after which the pooled pick is on average within :data:`NEAR` points of the best, and a 95 % interval.

    The interval draws unseen seeds, and searches of each, with replacement: searches that saw the same seeds share
    their luck.

    Args:
        budgets: Numbers of trainings after which searches were examined.
        short: Points below the best, (searches, numbers).
        units: The unit of each search, such as its unseen seeds.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, unit in enumerate(units):
        groups.setdefault(unit, []).append(index)
    rng, clusters = np.random.default_rng(0), list(groups.values())
    drawn = []
    for _ in range(500):
        chosen = [clusters[place] for place in rng.integers(0, len(clusters), len(clusters))]
        rows = np.concatenate([rng.choice(group, len(group)) for group in chosen])
        drawn.append(_crossing(budgets, short[rows].mean(0)))
    low, high = np.quantile(drawn, [0.025, 0.975], method="closest_observation")
    return {"cost": _crossing(budgets, short.mean(0)), "cost_low": float(low), "cost_high": float(high)}


def _crossing(budgets: Sequence[float], short: np.ndarray) -> float:
    """Where a curve first reaches :data:`NEAR`, by linear interpolation."""
    for place, value in enumerate(short):
        if value <= NEAR:
            if place == 0:
                return budgets[0]
            share = (short[place - 1] - NEAR) / (short[place - 1] - value)
            return float(budgets[place - 1] + share * (budgets[place] - budgets[place - 1]))
    return float("inf")


@checked
def compare_picks(
    table: Table, *, budgets: Sequence[int] = (10, 20, 40, 80), repeats: int = 100, seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:  # fmt: skip
    """The regret of every way to pick the winner, by seeds per network at equal cost; networks are drawn at random.

    Returns:
        One row per budget, seeds per network and criterion; columns as :func:`compare_samplers`, with ``seeds``.
        Beside the criteria ``accuracy`` stands for the pooled model without losses: what they bring.
        ``gain`` is NaN where no seed is left unseen.
    """
    quiet_optuna()
    rows: list[dict[str, object]] = []
    networks = list(table.networks.values())
    for budget in budgets:
        for seeds in range(1, len(table.seeds) + 1):
            searches = []
            for number in range(seed, seed + repeats):
                seen, left = _split(table, number, seeds)
                drawn = random.Random(number).sample(networks, min(budget // seeds, len(networks)))
                sampler = _InTurn([params for network in drawn if (params := table.space.params(network)) is not None])
                records = simulate(table, sampler, budget=len(drawn) * seeds, seeds=seen, baselines=False)
                searches.append(Search(table, records, left))
            for by in (*CRITERIA, "accuracy"):
                judged = _judged(searches, [ranked(search.records, by) for search in searches])
                rows.append({"budget": budget, "seeds": seeds, "by": by, **judged})
            progress(
                f"{plural(seeds, 'seed')} per network: {plural(repeats, 'search')} of {plural(budget, 'training')}"
            )
    return pd.DataFrame(rows)


class _InTurn(WholeNetworkSampler):
    """Proposes given networks in turn, repeatedly: each comes once for every seed."""

    def __init__(self, networks: Sequence[dict[str, Any]]) -> None:
        self.networks = networks

    def proposal(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """Return the network for the trial's number."""
        return self.networks[trial.number % len(self.networks)]


def _split(table: Table | World, number: int, seeds: int) -> tuple[list[int], list[int]]:
    """Split the table's seeds for search ``number``: those it uses, in order, and those it never sees."""
    order = random.Random(number).sample(table.seeds, len(table.seeds))
    return order[:seeds], order[seeds:]


def _judged(searches: Sequence[Search], rankings: Sequence[list[str]]) -> dict[str, float | int]:
    every = list(zip(searches, rankings, strict=True))
    regrets = np.array([one.table.best - one.table.values[ranking[0]] for one, ranking in every])
    regret, low, high = _mean(regrets)
    gains = [one.table.above(ranking[:10], one.unseen) for one, ranking in every]
    gain, gain_low, gain_high = _over(np.array([one[0] for one in gains]), [one.unit for one in searches])
    ten = _mean(np.array([one.mean() for one in gains]))[0]
    return {"repeats": len(rankings), "regret": regret, "low": low, "high": high, "gain": gain, "gain_low": gain_low,
            "gain_high": gain_high, "gain10": ten, "found": float((regrets == 0).mean())}  # fmt: skip


def _over(values: np.ndarray, units: Sequence[Hashable]) -> tuple[float, float, float]:
    """Mean and a 95 % interval that holds for another seed as well: over the seeds left unseen, by Student's t.

    Searches that are judged on one seed share its luck, so that more of them do not make an interval valid; those that
    are judged on different seeds share the others, which :class:`.answers.Interval` counts.
    """
    groups: dict[Hashable, list[float]] = {}
    for value, unit in zip(values, units, strict=True):
        groups.setdefault(unit, []).append(float(value))
    means = np.array([np.mean(group) for group in groups.values()])
    if len(means) < 2 or np.isnan(means).any():
        return _mean(values)
    unseen = [unit for unit in groups if isinstance(unit, tuple)]  # of worlds it is a number
    found = Interval.over(means, others=len(set().union(*unseen)) - 1 if unseen else 0)
    half = found.high - found.mean
    return float(values.mean()), float(values.mean()) - half, float(values.mean()) + half


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and its 95 % interval by Student's t."""
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(values.std(ddof=1)) / len(values) ** 0.5
    mean = float(values.mean())
    return mean, mean - half, mean + half
