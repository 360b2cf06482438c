"""Trains every network of a space on several seeds: a table that searches can be compared on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from chattn_nas.arguments import checked
from chattn_nas.benchmark.rows import COLUMNS, read_rows, row_of
from chattn_nas.data import load_test
from chattn_nas.files import replacing
from chattn_nas.judging.given import spec_of_given
from chattn_nas.proxy import Measurement, Report, evaluate
from chattn_nas.search import search
from chattn_nas.search.session import enqueue_trainings, quiet_optuna
from chattn_nas.search.trainer import ProxyTrainer
from chattn_nas.spec import Spec
from chattn_nas.study import RunDirectory
from chattn_nas.study.attributes import study_attributes, trial_attributes
from chattn_nas.study.trials import all_trials


class TestedTrainer(ProxyTrainer):
    """Trains as the proxy does, then scores the network on the test set as well."""

    __test__ = False  # no class of tests, whatever its name begins with

    def __init__(self, spec: Spec, device: str | None = None) -> None:
        super().__init__(spec, device)
        self.test = load_test(spec.data, device=self.device)

    def train(self, network: nn.Module, seed: int, report: Report) -> Measurement:
        """Train through all rungs; the test set is scored at the end."""
        measured = super().train(network, seed, report)
        accuracy, _ = evaluate(
            network, self.test, self.data, batch_size=self.spec.proxy.batch_size, device=self.device
        )  # fmt: skip
        return replace(measured, test_score=accuracy)


@checked
def build_table(
    spec: Spec, *, seeds: int, out: Path, run: Path, part: int = 20, workers: int | None = None, progress: bool = True
) -> pd.DataFrame:
    """Train every canonical network of a spec's space, and the controls, on ``seeds`` seeds.

    All networks are trained on the first seed, then all on the second, and so on. Rows are added to ``out`` after every
    ``part`` trainings; those that are there are not trained again, whatever became of the run directory.

    Args:
        spec: Its space, proxy and data; the first seed is ``search.seed``.
        seeds: Trainings of every network.
        out: A CSV file, compressed according to its ending (``.csv.xz``).
        run: Directory of the run that trains.
        part: Number of trainings between two writings of ``out``.
        workers: As for ``search``.
        progress: As for ``search``.

    Returns:
        The whole table, sorted by seed and network.
    """
    quiet_optuna()
    rows = read_rows(out, spec.search_space()) if out.exists() else pd.DataFrame(columns=COLUMNS)
    wanted = [training for training in _trainings(spec, seeds) if training[1:3] not in _keys(rows)]
    for start in range(0, len(wanted), part):
        opened = RunDirectory.create(spec_of_given(spec, spec.name, keep_checkpoints=0), run)
        enqueue_trainings(opened.study, wanted[start : start + part])
        target_trials = len(all_trials(opened.study))
        search(
            opened.spec,
            run=run,
            trials=target_trials,
            workers=workers,
            progress=progress,
            trainer=f"{__name__}:TestedTrainer",
        )
        rows = _with_new(rows, opened)
        with replacing(out) as partial:
            rows.to_csv(partial, index=False, compression="xz" if out.suffix == ".xz" else None)
    return rows


def _trainings(spec: Spec, seeds: int) -> Iterator[tuple[dict[str, Any], str, int, str]]:
    """Architecture, hash, seed and label of all trainings of the table, seed by seed."""
    space = spec.search_space()
    labels = {architecture.canonical(space.stages): label for label, architecture in space.baselines()}
    networks = dict.fromkeys((*labels, *space.enumerate()))
    for seed in range(spec.search.seed, spec.search.seed + seeds):
        for architecture in networks:
            yield architecture.to_dict(), architecture.hash, seed, labels.get(architecture, "")


def _keys(rows: pd.DataFrame) -> set[tuple[str, int]]:
    return set(zip(rows["hash"], rows["seed"], strict=True))


def _with_new(rows: pd.DataFrame, run: RunDirectory) -> pd.DataFrame:
    known = _keys(rows)
    versions = study_attributes(run.study).versions
    new = [row_of(trial, versions) for trial in all_trials(run.study) if trial_attributes(trial).measurement]
    added = pd.DataFrame([row for row in new if (row["hash"], row["seed"]) not in known])
    whole = pd.concat([rows, added], ignore_index=True) if len(rows) else added
    return whole.sort_values(["seed", "hash"], ignore_index=True)
