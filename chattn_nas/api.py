"""The Python API, four lines::

spec = load_spec("spec.yaml")
run = search(spec)
run.trials()
export(run.best(), "network")
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
from torch import nn

from chattn_nas import dashboard, judging, report, results, study
from chattn_nas.data import load_data
from chattn_nas.errors import InputError, RunError
from chattn_nas.export import DEFAULT_FORMATS, Card, ExportReport, check_request, export_network
from chattn_nas.proxy import resolve_device, train_within_memory
from chattn_nas.search.engine import search as run_search
from chattn_nas.search.trainer import build_prepared
from chattn_nas.space import Architecture
from chattn_nas.spec import Spec
from chattn_nas.training import TrainingResult
from chattn_nas.training.of_run import final_training, trained_weights

log = logging.getLogger(__name__)


class Run(study.RunDirectory):
    """A run, finished or not: what was tried, what came out, what to take home.

    Args:
        directory: The run's directory, or its name below ``runs/``.

    Raises:
        RunError: There is no run.
    """

    @cached_property
    def standing(self) -> results.Standing:
        """Who stands where, as the study is at the first call."""
        return results.Standing(self.study)

    def trials(self, *, where: str | None = None, sort: str | None = None) -> pd.DataFrame:
        """One row per trial; ``where`` and ``sort`` as on the command line.

        Raises:
            InputError: An unknown column, or a condition that cannot be read.
        """
        return results.select(results.trials(self.study), where, sort)

    def leaderboard(self, by: str = "pooled") -> pd.DataFrame:
        """One row per architecture, best first by ``pooled``, ``mean`` or ``single``."""
        return results.leaderboard(self.study, by)

    def best(self, by: str = "pooled") -> Trained:
        """The recommended architecture.

        Raises:
            RunError: Nothing was trained to the end.
        """
        return Trained(self, self.standing.best(by))

    def trial(self, number: int) -> Trained:
        """The architecture of one trial.

        Raises:
            RunError: There is no such trial, or it was not trained to the end.
        """
        found = {record.number: record for record in study.records(self.study)}
        if number not in found:
            raise RunError(f"there is no trial {number}; possible: 0 to {len(found) - 1}")
        pick = next((pick for pick in self.standing.picks if pick.hash == found[number].hash), None)
        if pick is None:
            raise RunError(f"trial {number} was not trained to the end ({found[number].outcome})")
        return Trained(self, pick)

    def chosen(self, trial: str | int = "best", by: str = "pooled") -> Trained:
        """``best`` as :meth:`best`, or a number as :meth:`trial`.

        Raises:
            InputError: Neither of them.
        """
        if str(trial).isdigit():
            return self.trial(int(trial))
        if trial != "best":
            raise InputError(f"--trial is 'best' or a number, not {trial!r}")
        return self.best(by)

    def _repr_html_(self) -> str:
        return report.run_html(self.study)

    def write_trials(self) -> Path:
        """Write ``trials.csv`` into the run's directory."""
        path = self.directory / "trials.csv"
        self.trials().to_csv(path, index=False)
        return path


@dataclass(frozen=True)
class Trained:
    """One architecture of a run with the evidence behind it; :meth:`network` gives its weights."""

    run: Run
    pick: results.Pick

    @property
    def architecture(self) -> Architecture:
        """In canonical form."""
        return Architecture.from_dict(
            {"backbone": self.run.spec.backbone.backbone.to_dict(), "stages": self.pick.stages}
        )

    @property
    def seed(self) -> int:
        """The seed of its best trial, whose weights :meth:`network` gives."""
        return int(self.run.study.trials[self.pick.number].user_attrs["seed"])

    def train(self, **options: Any) -> TrainingResult:
        """Train it at full length as :func:`chattn_nas.training.final_training`, which takes the same options."""
        return final_training(self.run, self.architecture, **options)

    def network(self) -> nn.Module:
        """The trained network in eval mode on the CPU.

        Its weights are those of the latest finished :meth:`train`, else of its best trial; where those were not kept,
        it is trained as in that trial again.
        """
        spec = self.run.spec
        data = load_data(spec.data)
        network = build_prepared(
            spec, self.architecture, seed=self.seed, num_classes=data.num_classes, in_chans=data.in_chans
        )
        final = trained_weights(self.run, self.pick.hash)
        kept = final[0] if final else self.run.checkpoint(self.pick.hash, self.seed)
        if kept is not None:
            network.load_state_dict(safetensors.torch.load_file(kept))
        else:
            log.warning("The weights of trial %d were not kept: training it again.", self.pick.number)
            device = resolve_device(spec.proxy.device)
            train_within_memory(network, data, spec.proxy, seed=self.seed, device=device)
        return network.cpu().eval()

    @property
    def confirmed(self) -> dict[str, str]:
        """Figures of the run's confirmation by name; none where it was not confirmed."""
        found = judging.confirmation(self.run.study)
        return found.figures(self.pick.hash) if found else {}

    def card(self) -> Card:
        """What an export says of this network."""
        spec, pick = self.run.spec, self.pick
        data = load_data(spec.data)
        return Card(
            name=f"{spec.name}-{pick.hash}",
            backbone=spec.backbone.model,
            dataset=" ".join(filter(None, (spec.data.dataset, spec.data.name, spec.data.path))),
            class_names=data.class_names,
            mean=data.mean,
            std=data.std,
            accuracy=pick.mean / 100,
            accuracy_se=None if pick.se is None else pick.se / 100,
            seeds=len(pick.seeds),
            confirmed=self.confirmed,
            costs={key: value for key, value in pick.costs.items() if value is not None}
            | {f"{key} (without attention: 1)": value for key, value in pick.relative.items()},
            origin=f"run {spec.name}, trial {pick.number}{self._final()}",
        )

    def _final(self) -> str:
        """What the card says of the final training behind the weights."""
        final = trained_weights(self.run, self.pick.hash)
        if final is None:
            return ""
        plan, test = final[1].plan, f"{100 * final[1].test_accuracy:.2f} % on the test set"
        return f"; weights of a training of {plan['epochs']} epochs on seed {plan['seed']}: {test}"

    def _repr_html_(self) -> str:
        return report.network_html(self.run.study, self.pick)

    def __str__(self) -> str:
        spread = f" ± {self.pick.se:.2f}" if self.pick.se is not None else ""
        count = f"{len(self.pick.seeds)} seed{'s' if len(self.pick.seeds) > 1 else ''}"
        state = "confirmed" if self.confirmed else "unconfirmed"
        return f"{self.pick.description}, {self.pick.mean:.2f} %{spread} over {count}, {state}"


def search(spec: Spec, **options: Any) -> Run:
    """Search as :func:`chattn_nas.search.engine.search`, which takes the same options."""
    return Run(run_search(spec, **options).directory)


def export(trained: Trained, out_dir: Path | str, formats: Sequence[str] = DEFAULT_FORMATS) -> ExportReport:
    """Write a network of a run into a folder that needs only torch, and prove it.

    Raises:
        InputError: An unknown format, or a folder that cannot be written.
        MissingExtraError: A format whose packages are not installed.
        ExportError: A format cannot hold this network, or a proof fails.
    """
    check_request(formats, out_dir)  # before a network is trained again for it
    data = trained.run.spec.data
    network = trained.network()
    card = trained.card()
    written = export_network(
        network,
        architecture=trained.architecture,
        out_dir=out_dir,
        num_classes=len(card.class_names),
        in_chans=len(card.mean),
        image_size=data.image_size,
        card=card,
        formats=formats,
    )
    dashboard.link_export(trained.run.study, trained.run.directory, trained.pick.number, written.folder)
    return written
