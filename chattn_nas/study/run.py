"""A run: its directory, its study, and what may change between two sessions of it."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
import yaml

from chattn_nas.errors import RunError
from chattn_nas.space import SlotShape, Stage
from chattn_nas.spec.spec import Spec
from chattn_nas.study.checkpoints import Checkpoints
from chattn_nas.study.storage import default_url, load_study, open_storage

SPEC = "spec.yaml"


class RunDirectory:
    """An existing run.

    Args:
        directory: ``runs/<name>``, or the mere name of a run below ``runs/`` of the current folder.

    Raises:
        RunError: There is no run.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        if not (self.directory / SPEC).is_file() and (Path("runs") / directory / SPEC).is_file():
            self.directory = Path("runs") / directory
        if not (self.directory / SPEC).is_file():
            known = [path.parent.name for path in sorted(Path("runs").glob(f"*/{SPEC}"))]
            raise RunError(f"{directory} is no run: it holds no {SPEC}", value=str(directory), choices=known)

    @classmethod
    def create(cls, spec: Spec, directory: Path | None = None) -> RunDirectory:
        """Make the run of a spec, or open it where it exists.

        Raises:
            RunError: It exists and was started with settings that make its trials incomparable with this spec's.
        """
        directory = directory or Path("runs") / spec.name
        if (directory / SPEC).is_file():
            run = cls(directory)
            spec = spec.started_as(run.spec)
            run._accept(spec)
        directory.mkdir(parents=True, exist_ok=True)
        partial = directory / f".{SPEC}"
        partial.write_text(yaml.safe_dump(spec.to_dict(), sort_keys=False))
        partial.replace(directory / SPEC)
        run = cls(directory)
        run._create_study()
        return run

    @cached_property
    def spec(self) -> Spec:
        """The spec, resolved."""
        return Spec.from_dict(yaml.safe_load((self.directory / SPEC).read_text()))

    @property
    def storage_url(self) -> str:
        """Where the study lies."""
        return self.spec.search.storage or default_url(self.directory)

    @cached_property
    def study(self) -> optuna.Study:
        """The Optuna study: the one truth about this run."""
        return load_study(open_storage(self.storage_url), self.spec.name)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of the backbone, as the first worker found them."""
        return tuple(stage_from_dict(stage) for stage in self._attribute("stages"))

    @property
    def reference(self) -> dict[str, float]:
        """Costs of the backbone without attention: ``parameters``, ``macs``, perhaps ``latency``."""
        return dict(self._attribute("reference"))

    def checkpoint(self, architecture: str, seed: int) -> Path | None:
        """The weights of an architecture (canonical hash) trained on a seed, where they were kept."""
        path = Checkpoints(self.directory / "checkpoints", keep=0).path(architecture, seed)
        return path if path.is_file() else None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run: one search at a time works in a directory (workers may join from anywhere).

        Raises:
            RunError: Another process holds it.
        """
        with (self.directory / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(
                    f"another search works in {self.directory}; 'chattn-nas worker {self.directory}' joins it"
                ) from None
            yield

    def _accept(self, spec: Spec) -> None:
        changed = spec.differences(self.spec)
        if changed:
            raise RunError(
                f"the run in {self.directory} was started with other settings: {', '.join(changed)}; its trials cannot "
                "be compared with new ones: give the new spec a name of its own (--name NAME)",
                where=tuple(changed[0].split(".")),
            )
        if spec.name != self.spec.name:
            raise RunError(f"{self.directory} holds the run {self.spec.name!r}, not {spec.name!r}", where=("name",))

    def _create_study(self) -> None:
        storage, spec = open_storage(self.storage_url), self.spec
        directions = spec.search.directions
        study = optuna.create_study(storage=storage, study_name=spec.name, directions=directions, load_if_exists=True)
        attributes = study.user_attrs
        # By the spec that is kept, not by its hash: an earlier version may have had other fields.
        known = Spec.from_dict(attributes["spec"]).hash if "spec" in attributes else spec.hash
        if known != spec.hash:
            raise RunError(
                f"the storage already holds a study {spec.name!r} of another spec: give this one another name "
                "(--name NAME)",
                where=("search", "storage"),
            )
        study.set_user_attr("spec", spec.to_dict())
        if "spec_hash" not in attributes:
            study.set_metric_names(list(map(str, spec.search.objectives)))
            study.set_user_attr("spec_hash", spec.hash)
        self.__dict__["study"] = study

    def _attribute(self, name: str) -> Any:
        found = self.study.user_attrs.get(name)
        if found is None:
            raise RunError(f"the run in {self.directory} has no trial yet")
        return found


def stage_to_dict(stage: Stage) -> dict[str, Any]:
    """Plain values for JSON."""
    places = {
        placement: [{"block": s.block, "channels": s.channels, "feature_size": list(s.feature_size)} for s in slots]
        for placement, slots in stage.places.items()
    }
    return {"name": stage.name, "kind": stage.kind, "blocks": stage.blocks, "places": places}


def stage_from_dict(data: Mapping[str, Any]) -> Stage:
    """From what :func:`stage_to_dict` gave."""
    places = {
        placement: tuple(SlotShape(s["block"], s["channels"], tuple(s["feature_size"])) for s in slots)
        for placement, slots in data["places"].items()
    }
    return Stage(data["name"], data["kind"], data["blocks"], places)
