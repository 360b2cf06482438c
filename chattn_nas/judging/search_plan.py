"""Predicts how long a search will take and what it can show, before it starts."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch

from chattn_nas.arguments import asked_by, checked
from chattn_nas.data.enough import as_many_as
from chattn_nas.errors import InputError
from chattn_nas.judging.advice import SHOWN, fewer_workers, more_workers, wiser
from chattn_nas.judging.planning import NOISE
from chattn_nas.judging.training_times import TrainingTimes
from chattn_nas.results import words
from chattn_nas.search.devices import device_slots
from chattn_nas.search.feasible import feasible_baselines, feasible_share
from chattn_nas.search.one_shot.run import epochs_of, networks_scored
from chattn_nas.search.pace import Pace, others_at_work, pace
from chattn_nas.search.preflight import try_out
from chattn_nas.search.pruning import survives
from chattn_nas.search.trainer import ProxyTrainer
from chattn_nas.space import NONE, Architecture, SearchSpace
from chattn_nas.spec.spec import Spec
from chattn_nas.spec.training_settings import FULL
from chattn_nas.study.metric import named
from chattn_nas.unit import ACCURACY, Unit

#: Seconds before the first trial (what is tried first, a worker's imports), after the last one (the worker ends, tables
#: are written), and beside the training of each (costs, notes, records): scripts/benchmarks/plan.md.
STARTUP, ENDING, BESIDE = 9.0, 5.0, 0.2
#: Networks and seeds of a confirmation by its defaults: three best, the best uniform, none, two controls; five seeds.
CONFIRMED, SEEDS = 7, 5
#: Where networks are taken to end, and on what share of their mistakes two trainings of one network differ.
LEVEL, DIFFERENT = 0.9, 0.5


Baseline = tuple[str, Architecture]


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """The prediction for one search.

    Attributes:
        paces: How fast networks train here, ``none`` first.
        dearest: The pace of the slowest network with attention that was timed.
        trial: Seconds of one full trial: of an average network, of ``none``, and of the slowest network.
        search, low, high: Seconds of the search on these workers, and a range for them.
        confirm, train: Seconds of a confirmation on these workers, and of one training at full length.
        workers, threads: Worker processes, and CPU threads of each.
        trials, baselines: Trials asked for, and how many of them are baselines.
        saved: Share of the epochs that the pruner saves.
        memory: Bytes that a worker takes.
        networks: Different networks in the space.
        image: Points that one validation image is worth; ``None`` where the score is no share of images.
        effect: Smallest true effect of a type in a stage, in points, that the search can show.
        difference: Smallest true difference between two networks that a confirmation can show.
        noise: Standard deviation of one training, in points: a guess.
        wiser: Advice, one sentence each.
        unit: What scores are told in.
        one_shot, one_shot_epochs: Seconds and epochs of shared weights before the first trial; 0 without.
    """

    paces: Sequence[Pace]
    dearest: Pace
    trial: tuple[float, float, float]
    search: float
    low: float
    high: float
    confirm: float
    train: float
    workers: int
    threads: int
    trials: int
    baselines: int
    saved: float
    memory: int
    networks: int
    validation: int
    image: float | None
    effect: float
    difference: float
    noise: float
    wiser: Sequence[str]
    unit: Unit = ACCURACY
    one_shot: float = 0.0
    one_shot_epochs: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"words": self.words}

    @property
    def words(self) -> list[str]:
        """One sentence per line."""
        average, bare, dearest = (words.about(seconds) for seconds in self.trial)
        spread = max(self.high - self.search, self.search - self.low)
        save = f"; stopping early saves {words.share(self.saved)} of the epochs" if self.saved > 0.005 else ""
        shared = f", {words.plural(self.threads, 'CPU thread')} each" if self.workers > 1 else ""
        first = []
        if self.one_shot:
            first = [
                f"shared weights before the first trial about {words.about(self.one_shot)} on one worker: "
                f"{words.plural(self.one_shot_epochs, 'epoch')} and their scores, {self.one_shot / self.trial[0]:.1f} "
                "full trials"
            ]
        said = [
            f"one full trial about {average} ({self.paces[0].network} {bare}, {self.dearest.network} {dearest})",
            *first,
            f"this search about {words.about(self.search)} \N{PLUS-MINUS SIGN} {words.about(spread)}: "
            f"{words.plural(self.trials, 'trial')}, {self.baselines} of them baselines, on "
            f"{words.plural(self.workers, 'worker')}{shared}{save}",
            f"afterwards confirm about {words.about(self.confirm)} (less with --top 1 or fewer --epochs), train about "
            f"{words.about(self.train)}; "
            f"memory about {self.memory / 2**30:.1f} GiB per worker",
            f"it can show effects of a type in a stage from about {self.effect:.2g} points on, confirm differences "
            f"between networks from about {self.difference:.2g}, if one training scatters by {self.noise:.2g} points "
            "(a guess)",
            *(f"wiser: {one}" for one in self.wiser),
        ]
        return [named(one, self.unit) for one in said]

    def trials_within(self, seconds: float) -> int:
        """About how many trials fit into that time."""
        before = STARTUP + ENDING + self.one_shot
        return max(0, int((seconds - before) / max((self.search - before) / self.trials, 1e-9)))

    def words_within(self, seconds: float) -> list[str]:
        """What fits into that time, one sentence per line."""
        trials = self.trials_within(seconds)
        said = [f"about {words.plural(trials, 'trial')} in {words.about(seconds)}"]
        if trials <= self.baselines:
            said.append(
                f"beware, that is hardly time for the {self.baselines} baselines: a smaller backbone, smaller images "
                "or fewer types need less"
            )
        return said


@checked
def plan_search(spec: Spec, *, seconds: float = 8.0) -> SearchPlan:
    """Train ``none``, the slowest choice and, if time allows, the other types for a second each, and time them.

    Args:
        spec: The spec of the planned search.
        seconds: Time for the measurements; the first two networks are timed in any case.

    Raises:
        InputError: A search would refuse the spec.
    """
    if spec.trainer is not None:
        raise InputError(
            f"{spec.trainer} trains in its own way, and a plan times the steps of the proxy: a search of a few trials "
            f"({asked_by('--trials 3', 'trials=3')}) tells how long one takes",
            where=("trainer",),
        )
    try_out(spec)
    space, baselines = spec.search_space(), feasible_baselines(spec)
    slots = device_slots(spec.search.changed(workers=spec.search.workers or 1) if spec.search.workers == 0
                         else spec.search, spec.proxy.device)  # fmt: skip
    slot, bare = slots[0], Architecture.uniform(space.backbone, NONE)
    before, begun = torch.get_num_threads(), time.perf_counter()
    torch.set_num_threads(slot.threads)
    try:
        trainer = ProxyTrainer(spec, slot.device)
        on_cpu = trainer.device.type == "cpu"
        with others_at_work((len(slots) - 1) * slot.threads if on_cpu else 0, slot.threads) as slower:
            paces = [one.times(slower) for one in _paces(trainer, space, bare, baselines, seconds, begun)]
        alone = len(slots) == 1 and on_cpu and spec.search.workers is None
        advice = more_workers(trainer, bare, paces[0], slot.threads, spec.search.trials) if alone else []
    finally:
        torch.set_num_threads(before)
    names = [name for name, _ in baselines]
    if on_cpu:
        advice += fewer_workers(len(slots), max(one.memory for one in paces))
    plan = _plan(spec, space, trainer, paces, names, workers=len(slots), threads=slot.threads)
    return replace(plan, wiser=[*plan.wiser, *advice])


def _paces(
    trainer: ProxyTrainer,
    space: SearchSpace,
    bare: Architecture,
    baselines: Sequence[Baseline],
    seconds: float,
    begun: float,
) -> list[Pace]:
    """Paces of ``none``, of the most expensive type by the formulas, then of the others in the order of training."""
    networks = [(name, architecture) for name, architecture in baselines if name.startswith("uniform ")]

    def cost(architecture: Architecture) -> tuple[int, int]:
        parameters, macs = zip(*(choice.canonical(stage).cost(stage) for choice, stage in
                                 zip(architecture.choices(len(space.stages)), space.stages, strict=True)))  # fmt: skip
        return sum(macs), sum(parameters)

    dearest = max(networks, key=lambda one: cost(one[1]), default=None)
    networks.sort(key=lambda one: one is not dearest)
    paces = [pace(trainer, bare, "no attention")]
    for index, (name, architecture) in enumerate(networks):
        if index and time.perf_counter() - begun > seconds:
            break
        paces.append(pace(trainer, architecture, name))
    return paces


def _plan(
    spec: Spec,
    space: SearchSpace,
    trainer: ProxyTrainer,
    paces: list[Pace],
    names: Sequence[str],
    *,
    workers: int,
    threads: int,
) -> SearchPlan:
    rungs, trials = spec.proxy.rungs, spec.search.trials
    bare = paces[0]
    has_none = sum(any(one.type == NONE for one in stage) for stage in space.candidates) / len(space.candidates)
    types = max(len({one.type for one in stage}) for stage in space.candidates)
    times = TrainingTimes(paces, [name for name in names if name.startswith("uniform ")], empty=has_none / types)

    first = [times.baseline(name, rungs) for name in names][:trials]
    baselines = len(first)
    if spec.search.pruner != "none" and len(rungs) > 1:
        reached = _reached(trials, baselines, len(rungs), spec.search.reduction_factor, spec.search.pass_at_random)
    else:
        reached = [np.full(trials, len(rungs))]
    training = [sum(first) + sum(times.average(rungs, int(end)) for end in one[baselines:]) for one in reached]
    saved = 1 - fmean(sum(rungs[int(end) - 1] for end in one) for one in reached) / (trials * rungs[-1])
    refused = bare.build * trials * (1 / max(feasible_share(spec).share, 1e-3) - 1)
    # At the end some workers wait for the last trial.
    tail = times.average(rungs) * (workers - 1) / 2 / workers

    def on_workers(seconds: float) -> float:
        return STARTUP + ENDING + (seconds + refused + BESIDE * trials) / workers + tail

    one_shot = times.one_shot(epochs_of(spec), networks_scored(spec)) if spec.search.one_shot else 0.0
    full = FULL * rungs[-1]
    validation, unit = len(trainer.data.validation), trainer.data.task.unit
    noise, counting = _noise(spec, trainer)
    complete = fmean((one == len(rungs)).sum() for one in reached)
    effect = SHOWN * noise * math.sqrt(2 * types / max(complete, types))
    dearest = max(paces[1:] or paces, key=lambda one: one.seconds(rungs))
    return SearchPlan(
        paces=paces, dearest=dearest, trial=(times.average(rungs), bare.seconds(rungs), dearest.seconds(rungs)),
        search=one_shot + on_workers(fmean(training)), low=0.75 * (one_shot + on_workers(min(training))),
        high=1.25 * (one_shot + on_workers(max(training))),
        one_shot=one_shot, one_shot_epochs=epochs_of(spec) if one_shot else 0,
        confirm=STARTUP + ENDING + CONFIRMED * SEEDS * (times.average([full]) + BESIDE) / workers,
        train=times.average([spec.training.epochs or full]),
        workers=workers, threads=threads, trials=trials, baselines=baselines,
        saved=saved, memory=max(one.memory for one in paces), networks=space.canonical_size, validation=validation,
        image=100 / validation if unit.of_images else None, effect=effect,
        difference=SHOWN * noise * math.sqrt(2 / SEEDS), noise=noise,
        wiser=wiser(spec, space, bare.steps, trials=trials, baselines=baselines, validation=validation,
                     counting=counting, noise=noise, effect=effect, types=types,
                     of_images=unit.of_images or spec.data.metric == "balanced_accuracy"),
        unit=unit,
    )  # fmt: skip


def _noise(spec: Spec, trainer: ProxyTrainer) -> tuple[float, float]:
    """Guess the standard deviation of one training, and as how many validation images the score counts."""
    labels, unit = trainer.data.validation.labels, trainer.data.task.unit
    if unit.unit != ACCURACY.unit:
        return spec.judging.useful, len(trainer.data.validation)
    if labels.ndim != 1 or labels.is_floating_point():
        return NOISE, len(trainer.data.validation)
    counting = as_many_as(labels.cpu().numpy(), spec.data.metric)
    return math.hypot(NOISE, 100 * math.sqrt(DIFFERENT * LEVEL * (1 - LEVEL) / counting)), counting


def _reached(trials: int, baselines: int, rungs: int, factor: int, passing: float, repeats: int = 40) -> list[Any]:
    """Simulate how many rungs each trial of a search reaches: one array (trials,) per repeat.

    The trials' order is drawn at random; baselines are never stopped.
    """
    all_ends = []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        ends = np.full(trials, rungs)
        here: list[list[float]] = [[] for _ in range(rungs)]
        for number in range(trials):
            for rung in range(rungs - 1):
                here[rung].append(-rng.random())
                if number < baselines or survives(np.array(here[rung])[-1000:, None], factor):
                    continue
                if rng.random() >= passing:
                    ends[number] = rung + 1
                    break
        all_ends.append(ends)
    return all_ends
