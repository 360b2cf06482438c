"""Many searches on a table: which sampler, which pruner and which way to pick the winner find the best cheapest."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial
from scipy import stats

from chattn_nas.benchmark.evolution import RegularizedEvolution
from chattn_nas.benchmark.simulate import ranked, simulate
from chattn_nas.benchmark.table import Table
from chattn_nas.errors import InputError
from chattn_nas.results.tables import CRITERIA, Z95
from chattn_nas.search.pruning import build_pruner
from chattn_nas.search.samplers import build_sampler
from chattn_nas.search.session import quiet_optuna
from chattn_nas.search.whole_network import WholeNetworkSampler
from chattn_nas.spec.search_settings import SearchSettings

Method = Callable[[Table, int], tuple[BaseSampler, BasePruner | None]]


def _ours(name: str, pruner: str = "none") -> Method:
    def make(table: Table, seed: int) -> tuple[BaseSampler, BasePruner | None]:
        settings = SearchSettings.model_validate({"sampler": name, "pruner": pruner, "seed": seed})
        return build_sampler(settings, table.space, seed), build_pruner(settings, table.rungs)

    return make


#: What is compared, by name; ``+ halving`` stops trials at the table's rungs (asynchronous successive halving).
METHODS: dict[str, Method] = {
    "random": _ours("random"),
    "tpe": _ours("tpe"),
    "tpe group": lambda table, seed: (TPESampler(seed=seed, multivariate=True, group=True), None),
    "nsga2": _ours("nsga2"),
    "gp": _ours("gp"),
    "evolution": lambda table, seed: (RegularizedEvolution(table.space, seed), None),
    "random + halving": _ours("random", "successive_halving"),
    "tpe + halving": _ours("tpe", "successive_halving"),
    "gp + halving": _ours("gp", "successive_halving"),
}


def compare_samplers(
    table: Table, *, budget: int = 40, repeats: int = 100, methods: Sequence[str] = tuple(METHODS), seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:  # fmt: skip
    """What every method finds, for every way to pick the winner.

    Every search leaves one seed of the table unseen. ``regret`` counts from the table's means, in which the trainings
    that the search saw have a part, luck included: it favours who picks the luckiest. ``gain`` is measured on the
    unseen seed alone.

    Args:
        table: Answers instead of trainings.
        budget: In full trainings, baselines included.
        repeats: Searches per method, each with seeds of its own.
        methods: Some of :data:`METHODS`.
        seed: Seed of the first search.
        progress: Called with a line after every method.

    Returns:
        One row per method and criterion: ``method, by, budget, repeats, regret`` (points of test accuracy below the
        table's best mean), ``low, high`` (95 %), ``gain`` (points above the average network on the unseen seed;
        NaN where the table has but one), ``gain_low, gain_high``, ``gain10`` (the same of the ten networks ranked
        highest, which hangs less on the luck of one), ``found`` (share of searches that picked the
        network with the best mean), ``trained`` (different networks, mean).

    Raises:
        InputError: An unknown method.
    """
    for name in methods:
        if name not in METHODS:
            raise InputError(f"there is no method {name!r}", value=name, choices=METHODS)
    quiet_optuna()
    rows: list[dict[str, object]] = []
    for name in methods:
        found, unseen = [], []
        for number in range(seed, seed + repeats):
            sampler, pruner = METHODS[name](table, number)
            seen, left = _split(table, number, max(1, len(table.seeds) - 1))
            unseen.append(left)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                found.append(
                    simulate(
                        table,
                        sampler,
                        budget=budget,
                        seeds=seen,
                        pruner=pruner,
                        shown_as=name.removesuffix(" + halving"),
                    )
                )
        trained = float(np.mean([len({record.hash for record in search}) for search in found]))
        for by in CRITERIA:
            rankings = [ranked(search, by) for search in found]
            rows.append(
                {"method": name, "by": by, "budget": budget, **_judged(table, rankings, unseen), "trained": trained}
            )
        progress(f"{name}: {repeats} searches of {budget} trainings")
    return pd.DataFrame(rows)


def compare_picks(
    table: Table, *, budgets: Sequence[int] = (10, 20, 40, 80), repeats: int = 100, seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:  # fmt: skip
    """The same by the way to pick the winner and by seeds per network, at equal cost: networks are drawn at random.

    Returns:
        One row per budget, seeds per network and criterion; columns as :func:`compare_samplers`, with ``seeds``.
        Beside the criteria ``accuracy`` stands for the pooled model without losses: what they bring.
        ``gain`` is NaN where no seed is left unseen.
    """
    rows: list[dict[str, object]] = []
    networks = list(table.networks.values())
    for budget in budgets:
        for seeds in range(1, len(table.seeds) + 1):
            found, unseen = [], []
            for number in range(seed, seed + repeats):
                seen, left = _split(table, number, seeds)
                unseen.append(left)
                drawn = random.Random(number).sample(networks, min(budget // seeds, len(networks)))
                sampler = _InTurn([params for network in drawn if (params := table.space.params(network)) is not None])
                found.append(simulate(table, sampler, budget=len(drawn) * seeds, seeds=seen, baselines=False))
            for by in (*CRITERIA, "accuracy"):
                rankings = [ranked(search, by) for search in found]
                rows.append({"budget": budget, "seeds": seeds, "by": by, **_judged(table, rankings, unseen)})
            progress(f"{seeds} seeds per network: {repeats} searches of {budget} trainings")
    return pd.DataFrame(rows)


class _InTurn(WholeNetworkSampler):
    """Proposes given networks in turn, again and again: each comes back once for every seed."""

    def __init__(self, networks: Sequence[dict[str, Any]]) -> None:
        self.networks = networks

    def proposal(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        """By the trial's number."""
        return self.networks[trial.number % len(self.networks)]


def _split(table: Table, number: int, seeds: int) -> tuple[list[int], list[int]]:
    """So many of the table's seeds for search ``number``, in the order of their use, and those that it never sees."""
    order = random.Random(number).sample(table.seeds, len(table.seeds))
    return order[:seeds], order[seeds:]


def _judged(table: Table, rankings: Sequence[list[str]], unseen: Sequence[list[int]]) -> dict[str, float | int]:
    values = table.values
    best = max(values.values())
    regrets = np.array([best - values[ranking[0]] for ranking in rankings])
    regret, low, high = _mean(regrets)
    tests = 100 * table.rows.pivot(index="hash", columns="seed", values="test_accuracy")
    above = tests - tests.mean()
    gains = [above.loc[ranking[:10], left].to_numpy() for ranking, left in zip(rankings, unseen, strict=True)]
    gain, gain_low, gain_high = _over_seeds(np.array([one[0].mean() if one.size else np.nan for one in gains]), unseen)
    ten = _mean(np.array([one.mean() if one.size else np.nan for one in gains]))[0]
    return {"repeats": len(rankings), "regret": regret, "low": low, "high": high, "gain": gain, "gain_low": gain_low,
            "gain_high": gain_high, "gain10": ten, "found": float((regrets == 0).mean())}  # fmt: skip


def _over_seeds(values: np.ndarray, unseen: Sequence[Sequence[int]]) -> tuple[float, float, float]:
    """Mean and a 95 % interval that holds for another seed as well: over the seeds left unseen, by Student's t.

    Searches that are judged on one seed share its luck: their number makes no interval true.
    """
    groups: dict[tuple[int, ...], list[float]] = {}
    for value, left in zip(values, unseen, strict=True):
        groups.setdefault(tuple(sorted(left)), []).append(float(value))
    means = np.array([np.mean(group) for group in groups.values()])
    if len(means) < 2 or np.isnan(means).any():
        return _mean(values)
    half = float(stats.t.ppf(0.975, len(means) - 1)) * float(means.std(ddof=1)) / len(means) ** 0.5
    return float(values.mean()), float(values.mean()) - half, float(values.mean()) + half


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and its 95 % interval."""
    mean, half = float(values.mean()), Z95 * float(values.std(ddof=1)) / len(values) ** 0.5
    return mean, mean - half, mean + half
