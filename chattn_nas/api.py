"""The Python API, four lines::

spec = load_spec("spec.yaml")
run = search(spec)
run.trials()
export(run.best(), "network")
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from optuna.exceptions import OptunaError
from sqlalchemy.exc import SQLAlchemyError

from chattn_nas import dashboard, judging, report, results, study
from chattn_nas.arguments import at_least, checked
from chattn_nas.errors import InputError, RunError, first_line
from chattn_nas.files import replacing
from chattn_nas.spec import Spec, TrainingSettings
from chattn_nas.trained import Trained as Trained

if TYPE_CHECKING:  # torch and timm are imported where something is built: reading a study needs neither
    from chattn_nas.export import ExportReport
    from chattn_nas.search import Callback
    from chattn_nas.training import TrainingResult

log = logging.getLogger(__name__)
#: Trials of a search that only time ends: what a spec can ask for at most.
MOST_TRIALS = 10_000_000


class Run(study.RunDirectory):
    """A run, finished or not: what was tried, what came out, what to take home.

    Args:
        directory: The run's directory, or its name below ``runs/``.

    Raises:
        RunError: There is no run.
    """

    @cached_property
    def standing(self) -> results.Standing:
        """The ranking of the study's architectures, as of the first call."""
        return results.Standing(self.study)

    @checked
    def trials(self, *, where: str | None = None, sort: str | None = None) -> pd.DataFrame:
        """Return one row per trial; ``where`` and ``sort`` work as on the command line.

        Raises:
            InputError: An unknown column, or a condition that cannot be read.
        """
        return results.select(results.trials(self.study), where, sort)

    @checked
    def leaderboard(self, by: str = "pooled") -> pd.DataFrame:
        """Return one row per architecture, best first by ``pooled``, ``mean`` or ``single``."""
        return results.leaderboard(self.study, by)

    @checked
    def best(self, by: str = "pooled") -> Trained:
        """Return the recommended architecture.

        Raises:
            RunError: Nothing was trained to the end.
        """
        return Trained(self, self.standing.best(by))

    @checked
    def trial(self, number: int) -> Trained:
        """Return the architecture of one trial.

        Raises:
            RunError: There is no such trial, or it was not trained to the end.
        """
        by_number = {record.number: record for record in study.records(self.study)}
        if number not in by_number:
            raise RunError(f"there is no trial {number}; possible: 0 to {len(by_number) - 1}")
        pick = next((pick for pick in self.standing.picks if pick.hash == by_number[number].hash), None)
        if pick is None:
            raise RunError(f"trial {number} was not trained to the end ({by_number[number].outcome})")
        return Trained(self, pick)

    @checked
    def chosen(self, trial: str | int = "best", by: str | None = None) -> Trained:
        """Return the best network or that of a trial, as the command line names them.

        Args:
            trial: ``best``, or the number of a trial.
            by: As for :meth:`best`; ``None`` takes the winner of the confirmation or, if there was none, ranks by the
                pooled mean.

        Raises:
            InputError: ``trial`` is neither.
        """
        if str(trial).isdecimal():
            return self.trial(int(trial))
        if trial != "best":
            raise InputError(f"a trial is 'best' or a number, not {trial!r}")
        winner = judging.confirmed_winner(self.study, self.standing) if by is None else None
        return self.best(by or "pooled") if winner is None else Trained(self, winner)

    @checked
    def show_predictions(self, images: int = 6) -> bool:
        """Store the leading network's answers on a few validation images in the run's directory, for the report.

        Returns:
            Whether there was anything to show: its weights were kept, and the task can draw its answers.

        Raises:
            InputError: ``images`` is below 1.
            RunError: Nothing was trained to the end.
        """
        at_least(1, "images", images)
        import torch

        from chattn_nas import tasks
        from chattn_nas.report.predictions import write_predictions

        lead = self.chosen()
        if self.checkpoint(lead.pick.hash, lead.seed) is None:
            return False
        data = tasks.load(self.spec.task, self.spec.data, data_on="disk")
        last = len(data.validation) - 1
        batch = data.validation[torch.linspace(0, last, min(images, last + 1)).long()].to("cpu")
        with torch.no_grad():
            output = lead.network()(data.task.inputs(batch.images))
        shown = data.task.show(output, batch.images, batch.labels)
        write_predictions(self.directory / study.run.PREDICTIONS, lead.pick.hash, shown)
        return bool(shown)

    @property
    def so_far(self) -> str:
        """The best network so far in one line, empty until a training has been completed."""
        return results.so_far(self.study)

    def _repr_html_(self) -> str:
        return report.run_html(self.study)

    def write_trials(self) -> Path:
        """Write ``trials.csv`` into the run's directory."""
        path = self.directory / "trials.csv"
        with replacing(path) as partial:
            self.trials().to_csv(partial, index=False)
        return path


@checked
def search(
    spec: Spec,
    *,
    run: Path | str | None = None,
    trials: int | None = None,
    workers: int | None = None,
    progress: bool = True,
    trainer: str | None = None,
    budget: float | None = None,
    early_stop: bool = True,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Search, or continue a search: after an interruption, the same call goes on to the target number of trials.

    Args:
        spec: What :func:`load_spec` gives.
        run: Directory of the run; ``runs/<name>`` below the current folder by default.
        trials: Number of trials of the whole run, instead of the spec's.
        workers: Number of worker processes, instead of the spec's; ``0`` trains in this process.
        progress: Show a live bar on a terminal, plain lines elsewhere.
        trainer: ``module:factory`` of your own trainer.
        budget: Seconds after which no further trial begins; without ``trials``, only this ends the search.
        early_stop: Stop as soon as more trials cannot change the answer: once the pooled model says with 95 %
            probability that no network of the space beats the pick by ``judging.useful``.
        callbacks: Called in this process for trials, rungs and the end; see :class:`Callback`.

    Raises:
        InputError: ``trials`` is below 1, or parts of the spec do not fit each other.
        MissingExtraError: The packages of the engine ``nni`` or ``ray`` are not installed.
        RunError: The run exists with incompatible settings, or another process is searching in it.
        SearchStopped: Trials or NNI keep failing; the message names the most common reason.
        KeyboardInterrupt: Ctrl-C; the running trials were returned to the queue, and the same call continues.
    """
    from chattn_nas.search.engine import search as run_search

    if budget is not None:
        if not budget > 0:
            raise InputError(f"budget must be seconds above 0, not {budget!r}", value=budget)
        trials = MOST_TRIALS if trials is None else trials
    opened = run_search(
        spec, run=run, trials=trials, workers=workers, progress=progress, trainer=trainer, budget=budget,
        early_stop=early_stop, callbacks=callbacks, best=results.so_far,
    )  # fmt: skip
    run_of = Run(opened.directory)
    if trainer is None:
        try_to_show("what the network answers", run_of.show_predictions)
    return run_of


def try_to_show(what: str, examine: Callable[[], object]) -> None:
    """Examine a trained network for the report; a failure is logged, since the run has its result all the same.

    Args:
        what: What is examined, for the log.
        examine: Examines it; may raise :class:`RunError` if no training has been completed.
    """
    try:
        examine()
    except RunError as error:
        log.debug("%s cannot be shown: %s", what, error)
    except Exception:
        log.warning("%s cannot be shown", what, exc_info=True)


@checked
def train(
    trained: Trained,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    with_validation: bool | None = None,
    tensorboard: bool | None = None,
    settings: TrainingSettings | None = None,
    on_epoch: Callable[[dict[str, Any]], None] = lambda row: None,
) -> TrainingResult:
    """Train a network of a run at full length; see :meth:`Trained.train`."""
    return trained.train(
        epochs=epochs, seed=seed, with_validation=with_validation, tensorboard=tensorboard, settings=settings,
        on_epoch=on_epoch,
    )  # fmt: skip


@checked
def export(
    trained: Trained, out_dir: Path | str, formats: Sequence[str] | None = None, *, force: bool = False
) -> ExportReport:
    """Write a network of a run into a folder that needs only torch, and prove that it computes the same.

    Args:
        trained: A network of a run.
        out_dir: Folder to write to; created if needed. An earlier export there is replaced.
        formats: Some of ``chattn_nas.export.FORMATS``; ``chattn_nas.export.DEFAULT_FORMATS`` by default.
        force: Write even if the folder holds other files.

    Raises:
        InputError: The format is unknown, or the folder cannot be written or holds files that no export wrote.
        MissingExtraError: The packages of a format are not installed.
        ExportError: A format cannot express this network, or a proof failed.
    """
    from chattn_nas import tasks
    from chattn_nas.export import DEFAULT_FORMATS, Usage, check_request, export_network

    formats = DEFAULT_FORMATS if formats is None else formats
    if "timm" in formats and trained.run.spec.task.type not in ("classification", "multilabel"):
        raise InputError(
            f"the format timm holds classifiers, and this network is for {trained.run.spec.task.type}",
            where=("formats",), value="timm", choices=("source", "safetensors", "pt2", "onnx"),
        )  # fmt: skip
    check_request(formats, out_dir, force=force)  # before a network is trained again for it
    data = trained.run.spec.data
    task = tasks.load(trained.run.spec.task, data).task
    network = trained.network()
    card = trained.card()
    usage = Usage(**said) if (said := task.export()) else None
    written = export_network(
        network,
        architecture=trained.architecture,
        out_dir=out_dir,
        num_classes=len(card.class_names),
        in_chans=len(card.mean),
        image_size=data.image_size,
        card=card,
        formats=formats,
        usage=usage,
        force=force,
    )
    run = trained.run
    try:
        dashboard.link_export(run.study, run.directory, trained.pick.number, written.folder, written.files)
    except (OSError, OptunaError, SQLAlchemyError) as error:  # a run from elsewhere may be read-only
        log.warning("The export is complete, but the run could not record it: %s", first_line(error))
    return written
