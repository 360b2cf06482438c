"""The plan of a confirmation: its networks, the seeds that a useful difference takes, and its costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import optuna

from chattn_nas.judging._confirmation import alpha_of, families
from chattn_nas.judging.comparison import MOST_SEEDS, block_error, outliers, seeds_needed
from chattn_nas.judging.counted import counted
from chattn_nas.results import Pick, Standing, words
from chattn_nas.results.pooled import choices_of
from chattn_nas.results.words import called, long_form, name_of
from chattn_nas.space import Architecture, SearchSpace
from chattn_nas.study import RunDirectory
from chattn_nas.study.attributes import study_attributes
from chattn_nas.study.metric import named, unit_of
from chattn_nas.study.record import CONTROLS, NONE, RIVAL, UNIFORM, Record, records, wording_of
from chattn_nas.unit import ACCURACY, Unit

#: Standard deviation of one training, in points, where neither a confirmation nor the search says it: that of the
#: shipped table (scripts/benchmarks/table.md). In another unit than percent it is taken to be what is worth having.
NOISE = 0.5

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ConfirmPlan:
    """The plan of a confirmation.

    Attributes:
        networks: One row per network: ``hash, name, label, roles, search, search_pooled, search_seeds, architecture``.
        epochs, seeds: Length of each training, and how many per network.
        useful: The difference in points that the confirmation should be able to show.
        noise: Standard deviation of one training around its network and its seed, in points.
        noise_from: The source of that number.
        needed: Seeds needed to show the difference with a probability of 80 %.
        seconds: Estimated time of one training, from those of the search; ``None`` if nothing was trained.
        done: Number of trainings that have been done already.
        look: The number that this look at the run's confirmation would have.
        unit: What scores are told in.
    """

    networks: Sequence[Row]
    epochs: int
    seeds: int
    useful: float
    noise: float
    noise_from: str
    needed: int
    seconds: float | None
    done: int
    look: int = 1
    unit: Unit = ACCURACY

    def duration(self, seeds: int) -> float | None:
        """Seconds of training that ``seeds`` seeds still take on one device."""
        left = max(0, len(self.networks) * seeds - self.done)
        return None if self.seconds is None else self.seconds * left

    @property
    def words(self) -> str:
        """The plan in a few sentences."""
        count = len(self.networks)
        here, there = (words.duration(self.duration(seeds)) for seeds in (self.seeds, self.needed))
        needed = f"{'more than' if self.needed >= MOST_SEEDS else 'about'} {words.plural(self.needed, 'seed')}"
        again = (
            f" Other trainings, or other claims on the same, would be look number {self.look}, "
            "which may make a smaller error."
            if self.look > 1
            else ""
        )
        return named(
            f"{words.plural(count, 'network')} on {words.plural(self.seeds, 'seed')} of "
            f"{words.plural(self.epochs, 'epoch')}: about {here} of training on one device. To show a true difference "
            f"of {self.useful:g} points with a probability of 80 % takes {needed} "
            f"({there}), if one training scatters by {self.noise:.2f} points ({self.noise_from}).{again}",
            self.unit,
        )


def plan_confirmation(
    run: RunDirectory, study: optuna.Study | None, *, top: int, seeds: int, epochs: int
) -> ConfirmPlan:
    """Make the plan of ``confirm``; ``study`` is the confirmation's own study, if there is one."""
    standing = Standing(run.study)
    trainings = [] if study is None else records(study)
    rows = plan_rows(run, standing, [] if study is None else list(study_attributes(study).plan), top)
    unit, useful = unit_of(run.study), run.spec.judging.useful
    noise, source = _noise(standing, trainings, useful if unit.unit != ACCURACY.unit else NOISE)
    claimed, _ = families([row["roles"] for row in rows])
    searched = [
        record.measurement.seconds for record in records(run.study)
        if record.score is not None and record.measurement is not None
    ]  # fmt: skip
    done = [record.measurement.seconds for record in trainings if record.score is not None and record.measurement]
    seconds = fmean(done) if done else fmean(searched) * epochs / run.spec.proxy.rungs[-1] if searched else None
    look = len(study_attributes(run.study).confirmation_looks) + 1
    pairs = [(one, other) for one, other, _ in claimed]
    needed = seeds_needed(noise, useful, len(rows), pairs, alpha=alpha_of(look))
    return ConfirmPlan(
        networks=rows, epochs=epochs, seeds=seeds, useful=useful, noise=noise, noise_from=source, needed=needed,
        seconds=seconds, done=len(counted(trainings, 0.0)), look=look, unit=unit,
    )  # fmt: skip


def _noise(standing: Standing, trainings: Sequence[Record], guess: float) -> tuple[float, str]:
    """Noise of one training: from the confirmation if it has enough trainings, else from the search, else a guess."""
    by_seed: dict[str, dict[int, float]] = {}
    for record in trainings:
        if record.score is not None and record.seed is not None:
            by_seed.setdefault(record.hash, {})[record.seed] = record.shown
    if len(by_seed) > 1:
        common = sorted(set.intersection(*(set(values) for values in by_seed.values())))
        if len(common) > 1:
            table = np.array([[values[s] for s in common] for values in by_seed.values()])
            whole = ~outliers(table).any(1)  # a collapse is no scatter
            return block_error(table[whole] if whole.sum() > 1 else table), "measured"
    learned = standing.scatter()
    if learned is not None:
        return learned, "learned from the search's shorter trainings"
    return guess, "a guess: nothing was measured yet"


def plan_rows(run: RunDirectory, standing: Standing, before: list[Row], top: int) -> list[Row]:
    """The rows of an earlier plan, then new ones. The rival, once chosen, stays the same."""
    today = {pick.hash: _searched(pick) for pick in standing.picks}
    known = {row["hash"]: row | today.get(row["hash"], {}) for row in before}  # the search may have gone on
    for pick in [pick for pick in standing.picks if not pick.control][:top]:
        _add(known, pick.hash, "candidate", _row(run, pick))
    space = run.spec.search_space()
    if not any("uniform" in row["roles"] for row in before):
        uniform = best_uniform(run, standing, space)
        if uniform is not None:
            _add(known, uniform["hash"], "uniform", uniform)
    for label, architecture in space.baselines():
        if label not in (NONE, *CONTROLS):
            continue
        canonical = architecture.canonical(run.stages)
        baseline = standing.labelled(label)
        role = {NONE: "none", RIVAL: RIVAL}.get(label, "control")
        row = _untrained(canonical, called(label), label) if baseline is None else _row(run, baseline)
        _add(known, canonical.hash, role, row)
    return list(known.values())


def best_uniform(run: RunDirectory, standing: Standing, space: SearchSpace) -> Row | None:
    """The uniform network with the highest mean in the model, among all settings of the space, trained or not.

    A mixed network is the best of everything the search tried, so its rival must be tuned too: at default settings it
    would lose to the tuning alone.
    """
    trained = standing.best_uniform()
    best: Row | None = None if trained is None else _row(run, trained)
    highest = float("-inf") if trained is None else trained.value("pooled")
    known = {pick.hash for pick in standing.picks}
    others = [network for network in uniform_networks(space) if network.hash not in known]
    means = standing.foresee([choices_of(_as_record(network)) for network in others])
    for network, mean in zip(others, means, strict=False):
        if mean > highest:
            highest = mean
            name = long_form(wording_of(run.study).choices(choice.to_dict() for choice in network.stages))
            best = _untrained(network, name, "") | {"search_pooled": mean}
    return best


def uniform_networks(space: SearchSpace) -> list[Architecture]:
    """Every different network with one choice in all stages that can take its type, in canonical form."""
    networks: dict[str, Architecture] = {}
    types = {choice.type for choices in space.canonical for choice in choices} - {NONE, *CONTROLS}
    for name in sorted(types):
        having = [[choice for choice in choices if choice.type == name] for choices in space.canonical]
        shared = [choice for choice in next(part for part in having if part) if all(choice in p for p in having if p)]
        for choice in shared:
            stages = tuple(
                choices[choice] if part else next((c for c in choices if c.type == NONE), None)
                for choices, part in zip(space.canonical, having, strict=True)
            )
            if None not in stages:
                network = Architecture(space.backbone, stages)  # type: ignore[arg-type]
                networks.setdefault(network.hash, network)
    return list(networks.values())


def _as_record(network: Architecture) -> Record:
    return Record(number=-1, stages=tuple(choice.to_dict() for choice in network.stages))


def _add(known: dict[str, Row], key: str, role: str, row: Row) -> None:
    row = known.setdefault(key, row)
    row["roles"] = [*row["roles"], *([role] if role not in row["roles"] else [])]


def _untrained(network: Architecture, name: str, label: str) -> Row:
    return {
        "hash": network.hash, "name": name, "label": label, "roles": [], "search": None, "search_pooled": None,
        "search_seeds": 0, "architecture": network.to_dict(),
    }  # fmt: skip


def _row(run: RunDirectory, pick: Pick) -> Row:
    return {
        "hash": pick.hash,
        "name": name_of(pick),
        "label": pick.label if not pick.label.startswith(UNIFORM) else "",
        "roles": [],
        "architecture": {"backbone": run.spec.backbone.backbone.to_dict(), "stages": list(pick.stages)},
    } | _searched(pick)


def _searched(pick: Pick) -> Row:
    return {"search": pick.mean, "search_pooled": pick.pooled, "search_seeds": len(pick.seeds)}
