"""A table of real trainings, which answers as if it trained."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd

from chattn_nas.arguments import checked
from chattn_nas.benchmark.lookup import TABLES
from chattn_nas.benchmark.rows import read_rows
from chattn_nas.errors import InputError
from chattn_nas.proxy import Measurement, Outcome, Rung
from chattn_nas.results.pooled import Observation, choices_of_stages, fitted
from chattn_nas.space import Architecture, SearchSpace
from chattn_nas.spec import Spec, load_spec


class Table:
    """Trainings of the networks of a space on several seeds: of all networks, or of those that a design chose.

    Args:
        spec: The spec that was trained.
        path: File of the rows.

    Attributes:
        rows: One per training, as :mod:`.rows` describes them, of the networks in the space.
        seeds: Those that all networks were trained on.

    Raises:
        InputError: No seed was trained for every network of the space.
    """

    def __init__(self, spec: Spec, path: Path) -> None:
        self.spec = spec
        self.space: SearchSpace = spec.search_space()
        every = read_rows(path, self.space)
        every = every[every["plan"] == "table"] if "plan" in every else every
        trained = set(every["hash"])
        self.networks: dict[str, Architecture] = {
            network.hash: network for network in self.space.enumerate() if network.hash in trained
        }
        self.control = every[~every["hash"].isin(self.networks)]
        inside = every[every["hash"].isin(self.networks) & (every["outcome"] == Outcome.COMPLETE)]
        counts = inside.groupby("seed")["hash"].nunique()
        self.seeds: tuple[int, ...] = tuple(int(seed) for seed in counts[counts == len(self.networks)].index)
        if not self.seeds:
            raise InputError(f"{path} holds no seed on which all of its {len(self.networks)} networks were trained")
        self.rows: pd.DataFrame = inside[inside["seed"].isin(self.seeds)].reset_index(drop=True)
        self._by_key: dict[tuple[str, int], dict[Hashable, Any]] = {
            (row["hash"], row["seed"]): row for row in self.rows.to_dict("records")
        }

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs at which every training was scored."""
        return tuple(self.spec.proxy.rungs)

    @property
    def share(self) -> float:
        """Share of the space's networks that were trained, 0 to 1."""
        return len(self.networks) / self.space.size

    @property
    def crowd(self) -> dict[str, Architecture]:
        """The networks on which rankings are judged, by hash: all."""
        return self.networks

    def holds(self, architecture: Architecture) -> bool:
        """Whether a network of the space was trained."""
        return architecture.canonical(self.space.stages).hash in self.networks

    @cached_property
    def values(self) -> dict[str, float]:
        """The value of every network by hash: accuracy on the test set, mean over seeds, in percent."""
        return {
            str(key): 100 * float(value) for key, value in self.rows.groupby("hash")["test_accuracy"].mean().items()
        }

    @property
    def best(self) -> float:
        """The highest of :attr:`values`."""
        return max(self.values.values())

    @cached_property
    def settled(self) -> dict[str, float]:
        """The value of every network by a pooled model of all test accuracies, with less luck than means."""
        seen = [
            Observation(choices_of_stages(self.networks[row["hash"]].to_dict()["stages"]), row["seed"],
                        100 * row["test_accuracy"])
            for row in self.rows.to_dict("records")
        ]  # fmt: skip
        model = fitted(seen)
        if model is None:
            return self.values
        choices = {key: choices_of_stages(network.to_dict()["stages"]) for key, network in self.networks.items()}
        return dict(zip(choices, model.predict(list(choices.values())).mean.tolist(), strict=True))

    def short(self, key: str) -> float:
        """By how many points a network is worse than the best one, by :attr:`settled`."""
        return max(self.settled.values()) - self.settled[key]

    def above(self, keys: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        """By how many points networks are above the average one on these seeds; NaN without seeds."""
        if not seeds:
            return np.full(len(keys), np.nan)
        return np.asarray(self._above.loc[list(keys), list(seeds)].mean(axis=1))

    @cached_property
    def _above(self) -> pd.DataFrame:
        tests = 100 * self.rows.pivot(index="hash", columns="seed", values="test_accuracy")
        return tests - tests.mean()

    def measurement(self, architecture: Architecture, seed: int) -> Measurement:
        """The result of training a network of the space on one of :attr:`seeds`.

        Raises:
            InputError: The network is not in the space, or was not trained on this seed.
        """
        key = architecture.canonical(self.space.stages).hash
        row = self._by_key.get((key, seed))
        if row is None:
            raise InputError(
                f"the table has no training of {architecture} on seed {seed}", choices=self.seeds, value=seed
            )
        early_rungs = tuple(Rung(epoch=e, score=row[f"epoch{e}"], loss=float("nan")) for e in self.rungs[:-1])
        end = Rung(epoch=self.rungs[-1], score=row["accuracy"], loss=row["loss"])
        same = [
            name
            for name in (
                "train_loss_sum",
                "seconds",
                "images_per_second",
                "parameters",
                "macs",
                "device",
            )
            if name in row
        ]
        return Measurement(
            outcome=Outcome.COMPLETE,
            rungs=(*early_rungs, end),
            seed=seed,
            test_score=row.get("test_accuracy"),
            **{name: row[name] for name in same},
        )

    def objective(self, seed: int = 0) -> Callable[[optuna.Trial], float]:
        """An objective for ``study.optimize``: samples a network, reports its rungs, returns its accuracy (0 to 1).

        Noise is included: every call answers with one of the trainings, drawn under ``seed``. A trial that its study's
        pruner stops ends at that rung; one whose network was not trained is pruned at once.
        """
        rng = random.Random(seed)

        def objective(trial: optuna.Trial) -> float:
            """Answer one trial with a training from the table."""
            architecture = self.space.sample(trial)
            if not self.holds(architecture):
                raise optuna.TrialPruned
            measured = self.measurement(architecture, rng.choice(self.seeds))
            for rung in measured.rungs:
                trial.report(rung.score, rung.epoch)
                if rung.epoch != self.rungs[-1] and trial.should_prune():
                    raise optuna.TrialPruned
            return measured.rungs[-1].score

        return objective


def table_specs() -> tuple[str, ...]:
    """Names of the tables on which searches can run."""
    return tuple(sorted(path.stem for path in TABLES.glob("*.yaml")))


@checked
def load(name: str) -> Table:
    """Load a table that comes with the package, such as ``cifar_resnet8_16px``.

    Raises:
        InputError: There is no table of that name.
    """
    if name not in table_specs():
        raise InputError(f"there is no table {name!r}", value=name, choices=table_specs())
    return Table(load_spec(TABLES / f"{name}.yaml"), TABLES / f"{name}.csv.xz")
