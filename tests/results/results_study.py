"""Realistic studies with simulated accuracies, in memory: the attributes are those that the search writes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from chattn_nas.proxy.measurement import Measurement, Outcome, Rung
from chattn_nas.space import Architecture, Backbone, StageChoice

TYPES = ("none", "se", "eca", "fca", "gct", "random_gate")
BACKBONE = Backbone("cifar_resnet8", {"width": 16})
SPEC = {
    "name": "simulated",
    "backbone": {"model": "cifar_resnet8", "options": {"width": 16}},
    "data": {"dataset": "digits", "image_size": 16},
    "space": {"all": [*TYPES]},
    "proxy": {"rungs": [2, 6], "batch_size": 128},
    "search": {"objectives": ["accuracy"], "constraints": {"parameters": "<= 1.05x"}, "seed": 0, "trials": 100},
}
REFERENCE = {"parameters": 78_042, "macs": 12_500_000}


@dataclass
class World:
    """The truth behind a simulated study; accuracies in points (percent)."""

    effects: np.ndarray  # (stages, types)
    interaction: dict[tuple[int, ...], float]
    seeds: np.ndarray
    noise: float
    rng: np.random.Generator
    mean: float = 90.0

    def truth(self, types: Sequence[int]) -> float:
        main = sum(self.effects[stage, type] for stage, type in enumerate(types))
        return self.mean + float(main) + self.interaction[tuple(types)]

    def run(self, types: Sequence[int], seed: int) -> float:
        return self.truth(types) + float(self.seeds[seed]) + self.noise * float(self.rng.standard_normal())


def make_world(seed: int, *, stages=3, main=0.5, interaction=0.2, noise=0.8, block=0.3) -> World:
    """The study of issue 7: 6 types in 3 stages, 216 architectures."""
    rng = np.random.default_rng(seed)
    cells = itertools.product(range(len(TYPES)), repeat=stages)
    return World(
        effects=main * rng.standard_normal((stages, len(TYPES))),
        interaction={cell: interaction * float(rng.standard_normal()) for cell in cells},
        seeds=block * rng.standard_normal(64),
        noise=noise,
        rng=rng,
    )


def architecture_of(types: Sequence[int]) -> Architecture:
    return Architecture(BACKBONE, tuple(StageChoice(TYPES[index]) for index in types))


def add_trial(
    study: optuna.Study,
    architecture: Architecture,
    *,
    seed: int,
    accuracies: Sequence[float],
    outcome: str = "complete",
    label: str = "",
    reason: str = "",
    value_source: str = "trained",
    value: float | None = None,
    epochs: Sequence[int] = (2, 6),
    params: dict[str, Any] | None = None,
    known: Sequence[str] = TYPES,
) -> None:
    """One finished trial with every attribute of the contract; ``accuracies`` (per rung reached) in percent."""
    added = 0.004 * sum(choice.type in ("se", "fca") for choice in architecture.stages)
    relative = {"parameters": 1 + added, "macs": 1 + added / 40}
    rungs = tuple(
        Rung(epoch=epoch, score=accuracy / 100, loss=2.3 - accuracy / 50) for epoch, accuracy in zip(epochs, accuracies)
    )
    trained = bool(rungs)
    measurement = Measurement(
        outcome=Outcome(outcome),
        reason=reason,
        rungs=rungs,
        seconds=1.3 * len(rungs) * (1 + 10 * added),
        images_per_second=5600.0 if trained else None,
        peak_memory=310_000_000 if trained else None,
        parameters=round(REFERENCE["parameters"] * relative["parameters"]),
        macs=round(REFERENCE["macs"] * relative["macs"]),
        seed=seed,
        device="cpu",
        versions={"torch": "2.14.1", "timm": "1.0.31"},
    )
    types = {f"stage{number}.type": choice.type for number, choice in enumerate(architecture.stages, 1)}
    states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
    state = states.get(outcome, TrialState.FAIL)
    study.add_trial(
        create_trial(
            state=state,
            value=(value if value is not None else accuracies[-1] / 100) if state == TrialState.COMPLETE else None,
            params=types | (params or {}),
            distributions={name: CategoricalDistribution(known) for name in types},
            intermediate_values={rung.epoch: rung.score for rung in rungs},
            user_attrs={
                "architecture": architecture.to_dict(),
                "hash": architecture.hash,
                "seed": seed,
                "measurement": measurement.to_dict(),
                "outcome": outcome,
                "reason": reason,
                "label": label,
                "value_source": value_source,
                "costs_relative": relative,
            },
        )
    )


def new_study(name: str = "simulated") -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(study_name=name, direction="maximize")
    study.set_user_attr("spec", SPEC)
    study.set_user_attr("spec_hash", "0123456789ab")
    study.set_user_attr("stages", [{"name": f"layer{number}", "kind": "native", "blocks": 1} for number in range(1, 4)])
    study.set_user_attr("reference", REFERENCE)
    study.set_user_attr("versions", {"python": "3.11", "torch": "2.14.1", "timm": "1.0.31", "optuna": "5.0.0"})
    return study


def simulate(world: World, trials: int = 100, *, prune: float = 0.0, seeds: int = 3, failures: bool = False):
    """A study of ``trials`` random trials, baselines first; a repeat takes the next seed.

    A share ``prune`` of the worst first rungs is stopped there: rung 1 is 8 points below the end, with a slope of 0.8
    and its own noise.
    """
    study = new_study()
    proposals = [
        ((index,) * 3, TYPES[index] if index in (0, 5) else f"uniform {TYPES[index]}") for index in (0, 1, 2, 3, 4, 5)
    ]
    while len(proposals) < trials:
        proposals.append((tuple(int(type) for type in world.rng.integers(len(TYPES), size=3)), ""))
    seen: dict[tuple[int, ...], int] = {}
    firsts: list[float] = []
    for types, label in proposals[:trials]:
        seed = seen.get(types, 0)
        seen[types] = seed + 1
        if seed >= seeds:
            continue
        final = world.run(types, seed)
        first = 75 + 0.8 * (final - world.mean) + 0.8 * float(world.rng.standard_normal())
        firsts.append(first)
        stopped = not label and len(firsts) > 8 and first < np.quantile(firsts, prune)
        add_trial(
            study, architecture_of(types), seed=seed, label=label,
            accuracies=[first] if stopped else [first, final],
            outcome="pruned" if stopped else "complete", reason="worse than half at epoch 2" if stopped else "",
        )  # fmt: skip
    if failures:
        for outcome, reason in (
            ("infeasible", "parameters 1.12x, allowed <= 1.05x"),
            ("crashed", "RuntimeError: worker 1 was killed"),
            ("out_of_memory", "did not fit with batch 64"),
        ):
            add_trial(study, architecture_of((1, 3, 1)), seed=0, accuracies=(), outcome=outcome, reason=reason)
    return study
