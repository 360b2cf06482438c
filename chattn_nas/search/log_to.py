"""Logs trials to the usual trackers: one run per trial, with seed, network, curve and costs."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from chattn_nas.errors import InputError, MissingExtraError, first_line
from chattn_nas.parts import is_path, load_object
from chattn_nas.quiet import quiet
from chattn_nas.search.callbacks import Callback
from chattn_nas.study.record import Record
from chattn_nas.study.run import RunDirectory


def check_log_to(names: Sequence[str]) -> None:
    """Check before a search that every logger is installed, and that loggers given by path exist.

    Raises:
        MissingExtraError: One is not installed; the message holds the command that installs it.
        InputError: There is nothing at a path, or it cannot be called with a run.
    """
    for index, name in enumerate(names):
        if is_path(name):
            _by_path(name, index)
        elif find_spec(name) is None:
            raise MissingExtraError(
                f"search.log_to: {name} is not installed: pip install 'chattn-nas[{name}]'",
                where=("search", "log_to", index),
            )


def loggers(run: RunDirectory) -> list[Callback]:
    """Make the loggers that a run's spec asks for.

    Raises:
        InputError: The object at a path cannot be made, or is no :class:`.Callback`.
    """
    made: list[Callback] = []
    for index, name in enumerate(dict.fromkeys(run.spec.search.log_to)):
        if not is_path(name):
            made.append(KINDS[name](run))
            continue
        try:
            one = _by_path(name, index)(run)
        except InputError:
            raise
        except Exception as error:  # somebody else's code
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise InputError(f"logger {name!r} cannot be made: {reason}", where=("search", "log_to", index)) from error
        if not isinstance(one, Callback):
            raise InputError(
                f"logger {name!r} is a {type(one).__name__}, and no chattn_nas.search.Callback",
                where=("search", "log_to", index),
            )
        made.append(one)
    return made


def _by_path(name: str, index: int) -> Callable[[RunDirectory], Any]:
    part: Callable[[RunDirectory], Any] = load_object(name, "a logger", ("search", "log_to", index), takes=("run",))
    return part


def _settings(record: Record) -> dict[str, Any]:
    """The parameters of a trial, flattened."""
    stages = {f"stage{number}": choice for number, choice in enumerate(record.choices, 1)}
    return {"trial": record.number, "seed": record.seed, "network": record.description, "label": record.label, **stages}


def _outcome(record: Record) -> dict[str, float]:
    """Costs and times of a trial."""
    measured = record.measurement
    if measured is None:
        return {}
    names = ("parameters", "macs", "latency", "seconds", "images_per_second", "peak_memory", "train_loss_sum")
    figures = {name: getattr(measured, name) for name in names}
    figures |= {f"{name}_x": value for name, value in record.relative.items()}
    return {name: float(value) for name, value in figures.items() if value is not None}


def _curve(record: Record) -> Iterator[tuple[int, dict[str, float]]]:
    for rung in record.rungs:
        yield rung.epoch, {"score": float(rung.score), "loss": float(rung.loss)}


class _Logger(Callback):
    """Base of all loggers: each writes a trial when it has ended, whatever its outcome."""

    def __init__(self, run: RunDirectory) -> None:
        self.name, self.directory = run.spec.name, run.directory.resolve()


class CsvLogger(_Logger):
    """``log.csv``: one row per trial and rung; a trial without rungs gets one row."""

    COLUMNS = (
        "trial", "outcome", "network", "label", "seed", "epoch", "score", "loss", "parameters", "macs", "latency",
        "seconds", "reason",
    )  # fmt: skip

    def on_trial_end(self, trial: Record) -> None:
        """Append the trial's rows."""
        path = self.directory / "log.csv"
        facts = _settings(trial) | _outcome(trial) | {"outcome": trial.outcome, "reason": trial.reason}
        rows: list[dict[str, Any]] = [facts | {"epoch": epoch} | scores for epoch, scores in _curve(trial)]
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.COLUMNS, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerows(rows or [facts])


class TensorBoardLogger(_Logger):
    """``tensorboard/trial-0003``: the curve, and what the hyperparameter view compares."""

    def on_trial_end(self, trial: Record) -> None:
        """Write a folder of event files."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self.directory / "tensorboard" / f"trial-{trial.number:04d}"
        with SummaryWriter(str(folder)) as writer:  # type: ignore[no-untyped-call]
            scores: dict[str, float] = {}
            for epoch, scores in _curve(trial):
                for name, value in scores.items():
                    writer.add_scalar(name, value, epoch)  # type: ignore[no-untyped-call]
            plain = {key: value for key, value in _settings(trial).items() if value is not None}
            last = {f"final/{name}": value for name, value in (scores | _outcome(trial)).items()}
            writer.add_text("trial", f"{trial.outcome}: {trial.description} {trial.reason}")  # type: ignore[no-untyped-call]
            writer.add_hparams(plain, last, run_name=".")  # type: ignore[no-untyped-call]


class WandbLogger(_Logger):
    """Weights & Biases: offline into ``wandb/`` unless ``WANDB_MODE`` is set; ``wandb sync`` uploads it."""

    def on_trial_end(self, trial: Record) -> None:
        """Write a run of the project that is named after the search."""
        import wandb

        run = wandb.init(
            project=self.name, name=f"trial-{trial.number}", group=self.name, dir=str(self.directory),
            config=_settings(trial), mode=os.environ.get("WANDB_MODE", "offline"), reinit="create_new",  # type: ignore[arg-type]
            settings=wandb.Settings(silent=True, console="off"),
        )  # fmt: skip
        for epoch, scores in _curve(trial):
            run.log(scores | {"epoch": epoch}, step=epoch)
        run.summary.update(_outcome(trial) | {"outcome": trial.outcome, "reason": trial.reason})
        run.finish(exit_code=0 if trial.outcome in ("complete", "pruned", "infeasible") else 1)


class MlflowLogger(_Logger):
    """MLflow: into the run's ``mlflow.db`` unless ``MLFLOW_TRACKING_URI`` is set."""

    def on_trial_end(self, trial: Record) -> None:
        """Write a run of the experiment that is named after the search."""
        from mlflow import MlflowClient
        from mlflow.entities import RunStatus

        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.directory / 'mlflow.db'}"
        with quiet("alembic", "mlflow"):  # its database's first making is told in dozens of lines
            client = MlflowClient(tracking_uri=uri)
            known = client.get_experiment_by_name(self.name)
            place = None if os.environ.get("MLFLOW_TRACKING_URI") else (self.directory / "mlruns").as_uri()
            experiment = known.experiment_id if known else client.create_experiment(self.name, artifact_location=place)
            run = client.create_run(experiment, run_name=f"trial-{trial.number}").info.run_id
            for key, value in _settings(trial).items():
                client.log_param(run, key, value)
            for epoch, scores in _curve(trial):
                for name, score in scores.items():
                    client.log_metric(run, name, score, step=epoch)
            for name, value in _outcome(trial).items():
                client.log_metric(run, name, value)
            client.set_tag(run, "outcome", trial.outcome)
            client.set_tag(run, "reason", trial.reason)
            ended = trial.outcome in ("complete", "pruned", "infeasible")
            client.set_terminated(run, RunStatus.to_string(RunStatus.FINISHED if ended else RunStatus.FAILED))


KINDS: dict[str, Callable[[RunDirectory], Callback]] = {
    "csv": CsvLogger,
    "tensorboard": TensorBoardLogger,
    "wandb": WandbLogger,
    "mlflow": MlflowLogger,
}
