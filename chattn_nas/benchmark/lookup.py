"""A shipped table for any optimiser: the rows as a data frame, and an objective that needs neither torch nor timm."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pandas as pd

from chattn_nas.arguments import checked
from chattn_nas.errors import InputError

TABLES = Path(str(files("chattn_nas.benchmark") / "tables"))


def table_names() -> tuple[str, ...]:
    """Names of the tables that come with the package."""
    return tuple(sorted(path.name.removesuffix(".csv.xz") for path in TABLES.glob("*.csv.xz")))


@checked
def read_table(name: str, plan: str | None = None) -> pd.DataFrame:
    """All rows of a shipped table, one per training; ``stages`` is JSON, one mapping per stage.

    Args:
        name: Name of the table, such as ``cifar_resnet8_16px``.
        plan: Take only the trainings of one plan, if a table holds several.

    Raises:
        InputError: There is no such table, or no such plan in it.
    """
    if name not in table_names():
        raise InputError(f"there is no table {name!r}", value=name, choices=table_names())
    rows = pd.read_csv(TABLES / f"{name}.csv.xz", keep_default_na=False, na_values=[""])
    if plan is None:
        return rows
    plans = sorted(rows["plan"].unique()) if "plan" in rows else ()
    if plan not in plans:
        raise InputError(f"table {name} has no plan {plan!r}", value=plan, choices=plans)
    return rows[rows["plan"] == plan].reset_index(drop=True)


class LookUp:
    """Looks up the result of training a network, for any optimiser over one categorical choice per stage.

    Args:
        rows: Rows of networks over one space; types are taken with the settings that the table has.

    Attributes:
        choices: The possible names of every stage.
        networks: The trained networks, as one name per stage.
        seeds: The seeds in the rows.

    Raises:
        InputError: One network was trained twice on one seed: the rows are of several plans.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        if rows.duplicated(["hash", "seed"]).any():
            plans = ", ".join(sorted(rows["plan"].unique())) if "plan" in rows else ""
            raise InputError(
                "the rows hold several trainings of one network on one seed"
                + (f"; take those of one plan by read_table(name, plan): {plans}" if plans else "")
            )
        complete = rows[rows["outcome"] == "complete"]
        names = complete["stages"].map(lambda text: tuple(choice["type"] for choice in json.loads(text)))
        deep = names.map(len).max()
        names = names.map(lambda stages: stages * deep if len(stages) == 1 else stages)  # one choice stands for all
        self._trainings: dict[tuple[str, ...], dict[int, float]] = {}
        for stages, seed, accuracy in zip(names, complete["seed"], complete["accuracy"], strict=True):
            self._trainings.setdefault(stages, {})[int(seed)] = float(accuracy)
        self.networks = tuple(self._trainings)
        self.choices = tuple(sorted(set(stage)) for stage in zip(*self.networks, strict=True))
        self.seeds = tuple(sorted({int(seed) for seed in complete["seed"]}))
        self._random = random.Random(0)

    def __call__(self, stages: Sequence[str], seed: int | None = None) -> float | None:
        """Return the validation accuracy, 0 to 1, of one training; ``None`` if the network was not trained.

        Args:
            stages: One name per stage.
            seed: Seed of the training; by default one of its seeds is drawn, with the noise of a real training.
        """
        known = self._trainings.get(tuple(stages))
        if not known:
            return None
        return known.get(self._random.choice(tuple(known)) if seed is None else seed)
