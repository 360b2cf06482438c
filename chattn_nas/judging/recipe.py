"""The recipe of the bare backbone, tuned before attention is compared under it.

Attention that merely repairs an untuned recipe looks good: if the learning rate is too low or the branches start too
small, whatever speeds up learning wins. So the backbone without attention is trained at a few learning rates, then at
a few scales of its branches, then with another warm-up, each step from the best recipe of the step before.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from chattn_nas import tasks
from chattn_nas.arguments import at_least, checked
from chattn_nas.errors import RunError, SearchStopped
from chattn_nas.judging.given import spec_of_given, train_given
from chattn_nas.results.words import plural
from chattn_nas.search.session import quiet_optuna
from chattn_nas.space import NONE, Architecture
from chattn_nas.spec import Spec
from chattn_nas.study import RunDirectory
from chattn_nas.study.record import Wording, once_per_seed, records
from chattn_nas.study.run import place_of
from chattn_nas.unit import ACCURACY, Unit

#: What is tried, learning rates as multiples of the spec's.
RATES, BRANCH_SCALES, WARMUPS = (0.5, 1.0, 2.0, 4.0), (0.5, 1.0, 2.0), (0.05, 0.2)
FIELDS = ("learning_rate", "branch_scale", "warmup")


@dataclass(frozen=True, kw_only=True)
class TriedRecipe:
    """One recipe, and the scores of the backbone without attention under it.

    Attributes:
        learning_rate, branch_scale, warmup: As in the spec's section ``proxy``.
        accuracy, loss: On the validation images, the score as it is stored, means over seeds; NaN where all failed.
            The loss is infinite if any failed: a recipe that works on some seeds only is no use.
        seeds: Number of trainings that were completed.
    """

    learning_rate: float
    branch_scale: float
    warmup: float
    accuracy: float = float("nan")
    loss: float = float("inf")
    seeds: int = 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All recipes that were tried.

    Attributes:
        spec: The spec's own recipe.
        tried: The recipes, in the order in which they were tried.
        epochs: Length of each training.
        unit: What scores are told in.
    """

    spec: TriedRecipe
    tried: tuple[TriedRecipe, ...]
    epochs: int
    unit: Unit = ACCURACY

    @property
    def best(self) -> TriedRecipe:
        """The recipe with the lowest validation loss, which is finer than accuracy."""
        return min(self.tried, key=lambda one: one.loss)

    @property
    def own(self) -> TriedRecipe:
        """The spec's own recipe, with its scores."""
        return next(one for one in self.tried if _same(one, self.spec))

    @property
    def words(self) -> str:
        """The finding in one sentence."""
        best, own = self.best, self.own
        said = f"learning rate {best.learning_rate:g}, branches at {best.branch_scale:g}, warm-up {best.warmup:g}"
        luck = (
            f" It is the lowest of {len(self.tried)} recipes with {plural(best.seeds, 'training')} each, by those very "
            "trainings: part of its lead may be luck, and no test lies behind it."
        )
        if best is own:
            return f"The spec's own recipe ends lowest: {said} (validation loss {best.loss:.4f}).{luck}"
        return (
            f"No attention ends lowest with {said}: validation loss {best.loss:.4f} instead of {own.loss:.4f}, "
            f"{self.unit.title} {self.unit.text(best.accuracy)} instead of {self.unit.text(own.accuracy)}.{luck}"
        )

    @property
    def spec_lines(self) -> str:
        """YAML to put into the spec; empty if the spec's own recipe is the best."""
        changed = {
            name: getattr(self.best, name) for name in FIELDS if getattr(self.best, name) != getattr(self.own, name)
        }
        return yaml.safe_dump({"proxy": changed}, sort_keys=False) if changed else ""

    def rows(self) -> list[dict[str, Any]]:
        """One row per recipe."""
        return [
            {
                **{name: getattr(one, name) for name in FIELDS},
                f"{self.unit.title} {self.unit.unit}".rstrip(): round(self.unit.shown(one.accuracy), 2),
                "loss": round(one.loss, 4),
                "seeds": one.seeds,
                "": "best" if one is self.best else "",
            }
            for one in self.tried
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"best": asdict(self.best), "words": self.words, "spec_lines": self.spec_lines}


@checked
def tune_recipe(
    spec: Spec, *, run: Path | str | None = None, seeds: int = 2, workers: int | None = None, progress: bool = True
) -> Recipe:
    """Train the backbone without attention under about eight recipes, and say which suits it best.

    Everything goes through the search's workers, one study per recipe; the same call after an interruption goes on.

    Args:
        spec: A spec.
        run: Directory; ``runs/<name>-recipe`` by default.
        seeds: Trainings per recipe.
        workers: As for ``search``.
        progress: As for ``search``.

    Raises:
        InputError: Fewer than one seed.
        RunError: No training succeeded, or the directory holds other things.
    """
    at_least(1, "seeds", seeds)
    directory = place_of(f"{spec.name}-recipe", run, several=True)
    quiet_optuna()
    own = TriedRecipe(**{name: getattr(spec.proxy, name) for name in FIELDS})
    tried: dict[tuple[float, ...], TriedRecipe] = {}
    best = own
    trained = spec.backbone.pretrained or spec.backbone.weights is not None
    steps: list[tuple[str, Sequence[float]]] = [
        ("learning_rate", [factor * own.learning_rate for factor in RATES]),
        ("branch_scale", [] if trained else BRANCH_SCALES),
        ("warmup", WARMUPS),
    ]
    for name, values in steps:
        for value in dict.fromkeys([getattr(best, name), *values]):
            key = tuple(value if field == name else getattr(best, field) for field in FIELDS)
            if key not in tried:
                tried[key] = _train(
                    spec, TriedRecipe(**dict(zip(FIELDS, key, strict=True))), directory, seeds, workers, progress
                )
        best = min(tried.values(), key=lambda one: one.loss)
    if not any(isfinite(one.loss) for one in tried.values()):
        raise RunError("under none of these recipes did every training without attention succeed")
    unit = tasks.load(spec.task, spec.data).task.unit
    return Recipe(spec=own, tried=tuple(tried.values()), epochs=spec.proxy.rungs[-1], unit=unit)


def _train(
    spec: Spec, candidate: TriedRecipe, directory: Path, seeds: int, workers: int | None, progress: bool
) -> TriedRecipe:
    """Train the candidate, and return it with its scores."""
    values = {name: getattr(candidate, name) for name in FIELDS}
    name = "-".join(f"{field.replace('_', '')}{value:g}" for field, value in values.items())
    at = spec_of_given(
        spec.changed(proxy=spec.proxy.changed(**values, rungs=spec.proxy.rungs[-1:])),
        f"{spec.name}-recipe-{name}",
        max_seeds=seeds,
        keep_checkpoints=0,
    )
    bare = Architecture.uniform(at.backbone.backbone, NONE).canonical(at.search_space().stages)
    first = at.search.seed
    with RunDirectory.held(at, directory / name, what="calibration") as opened:
        trainings = ((bare.to_dict(), bare.hash, seed, "") for seed in range(first, first + seeds))
        with suppress(SearchStopped):  # a rate that is too high for every seed is a finding
            train_given(opened, trainings, Wording(), workers=workers, progress=progress)
    ended = [record for record in once_per_seed(records(opened.study)) if record.score is not None]
    if not ended:
        return candidate
    losses = [record.measurement.loss for record in ended if record.measurement is not None]
    return TriedRecipe(
        **values, accuracy=fmean(record.score or 0.0 for record in ended),
        loss=fmean(loss for loss in losses if loss is not None) if len(ended) == seeds else float("inf"),
        seeds=len(ended),
    )  # fmt: skip


def _same(one: TriedRecipe, other: TriedRecipe) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in FIELDS)
