"""The Python API, four lines::

spec = load_spec("spec.yaml")
run = search(spec)
run.trials()
export(run.best(), "network")
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from optuna.exceptions import OptunaError
from sqlalchemy.exc import SQLAlchemyError

from chattn_nas import dashboard, judging, report, results, study, training
from chattn_nas.arguments import checked
from chattn_nas.errors import InputError, RunError, first_line
from chattn_nas.results import words
from chattn_nas.space import Architecture
from chattn_nas.spec import Spec, TrainingSettings
from chattn_nas.study.attributes import study_attributes, trial_attributes
from chattn_nas.study.metric import unit_of

if TYPE_CHECKING:  # torch and timm are imported where something is built: reading a study needs neither
    from torch import nn

    from chattn_nas.export import Card, ExportReport
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
        """Who stands where, as the study is at the first call."""
        return results.Standing(self.study)

    @checked
    def trials(self, *, where: str | None = None, sort: str | None = None) -> pd.DataFrame:
        """One row per trial; ``where`` and ``sort`` as on the command line.

        Raises:
            InputError: An unknown column, or a condition that cannot be read.
        """
        return results.select(results.trials(self.study), where, sort)

    @checked
    def leaderboard(self, by: str = "pooled") -> pd.DataFrame:
        """One row per architecture, best first by ``pooled``, ``mean`` or ``single``."""
        return results.leaderboard(self.study, by)

    @checked
    def best(self, by: str = "pooled") -> Trained:
        """The recommended architecture.

        Raises:
            RunError: Nothing was trained to the end.
        """
        return Trained(self, self.standing.best(by))

    @checked
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

    @checked
    def chosen(self, trial: str | int = "best", by: str | None = None) -> Trained:
        """``best``, or a number as :meth:`trial`.

        Args:
            trial: One of them.
            by: As for :meth:`best`; ``None`` takes the network that a confirmation put first, without one the pooled
                mean.

        Raises:
            InputError: Neither of them.
        """
        if str(trial).isdigit():
            return self.trial(int(trial))
        if trial != "best":
            raise InputError(f"--trial is 'best' or a number, not {trial!r}")
        winner = judging.confirmed_winner(self.study, self.standing) if by is None else None
        return self.best(by or "pooled") if winner is None else Trained(self, winner)

    def show_predictions(self, images: int = 6) -> bool:
        """Keep in the run's directory what the network that leads answers on a few validation images, for the report.

        Returns:
            Whether there was anything to see: its weights were kept, and the task has pictures of its answers.
        """
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
        """What is best, in one line; empty before anything was trained to the end."""
        return results.so_far(self.study)

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
        seed = trial_attributes(self.run.study.trials[self.pick.number]).seed
        assert seed is not None, "it was trained"
        return seed

    @checked
    def train(
        self,
        *,
        epochs: int | None = None,
        seed: int | None = None,
        with_validation: bool | None = None,
        tensorboard: bool | None = None,
        settings: TrainingSettings | None = None,
        on_epoch: Callable[[dict[str, Any]], None] = lambda row: None,
    ) -> TrainingResult:
        """Train it at full length into the run's directory; go on where an interrupted training stopped.

        Args:
            epochs: Length in one cosine cycle, instead of the spec's.
            seed: Seeds weights, order and augmentation; the search's by default.
            with_validation: Train on the validation images as well, instead of what the spec says.
            tensorboard: Write TensorBoard's files as well, instead of what the spec says.
            settings: The whole section ``training``, instead of the spec's.
            on_epoch: Called with the row of every epoch: ``epoch``, ``train_loss``, ``accuracy`` (0 to 1), ``seconds``.

        Raises:
            RunError: The folder holds a training with other settings, or another process works in it.
            InputError: A wrong value; or data, backbone or batch size do not serve.
            TrainingStopped: The loss was not finite.
        """
        given = {"epochs": epochs, "with_validation": with_validation, "tensorboard": tensorboard}
        settings = (settings or self.run.spec.training).changed(**{k: v for k, v in given.items() if v is not None})
        return training.final_training(self.run, self.architecture, settings=settings, seed=seed, on_epoch=on_epoch)

    def network(self) -> nn.Module:
        """The trained network in eval mode on the CPU.

        Its weights are those of the latest finished :meth:`train`, else of its best trial; where those were not kept,
        it is trained as in that trial again.
        """
        from chattn_nas import tasks
        from chattn_nas.network.weights import read_weights
        from chattn_nas.search.same import check_same
        from chattn_nas.search.trainer import build_prepared, restored

        spec = self.run.spec
        data = tasks.load(spec.task, spec.data)
        final = training.trained_weights(self.run, self.pick.hash)
        kept = final[0] if final else self.run.checkpoint(self.pick.hash, self.seed)
        state = read_weights(kept) if kept is not None else None
        if final and state is not None:
            start = final[1].plan.get("start")
            network = build_prepared(spec, self.architecture, seed=self.seed, data=data, start=start, state=state)
            return network.eval()
        if state is None:
            check_same(self.run.study, spec)
            log.warning("The weights of trial %d were not kept: training it again.", self.pick.number)
        return restored(spec, self.architecture, seed=self.seed, data=data, state=state).cpu().eval()

    def look_at_gates(self, images: int = 512) -> bool:
        """Keep in the study what the gates of the trained network do, class by class, for the report.

        Args:
            images: At most so many validation images are looked at.

        Returns:
            Whether there was anything to see: its weights were kept, it has attention, and an image has one label.
        """
        import torch

        from chattn_nas.data import Normalize, load_data
        from chattn_nas.network.gates import class_gates

        if self.run.checkpoint(self.pick.hash, self.seed) is None:
            return False
        data = load_data(self.run.spec.data)
        chosen = data.validation[torch.linspace(0, len(data.validation) - 1, min(images, len(data.validation))).long()]
        if chosen.labels.ndim != 1:
            return False
        pixels = Normalize(data, torch.device("cpu"))(chosen.images)
        stages = class_gates(self.network(), pixels, chosen.labels)
        kept = {
            "hash": self.pick.hash,
            "seed": self.seed,
            "images": len(chosen.labels),
            "classes": data.class_names[:20],
        }
        self.run.study.set_user_attr("gates", kept | {"stages": [one.to_dict() for one in stages]})
        return bool(stages)

    @property
    def confirmed(self) -> dict[str, str]:
        """Figures of the run's confirmation by name; none where it was not confirmed."""
        found = judging.confirmation(self.run.study)
        return found.figures(self.pick.hash) if found else {}

    def card(self) -> Card:
        """What an export says of this network."""
        from chattn_nas import tasks
        from chattn_nas.export import Card

        spec, pick, unit = self.run.spec, self.pick, unit_of(self.run.study)
        level = pick.interval
        data = tasks.load(spec.task, spec.data)
        return Card(
            name=f"{spec.name}-{pick.hash}",
            backbone=spec.backbone.model,
            dataset=" ".join(filter(None, (spec.data.dataset, spec.data.name, spec.data.path))),
            class_names=data.class_names,
            multilabel=data.multilabel,
            mean=data.mean,
            std=data.std,
            resize=spec.data.resize,
            background=spec.data.background,
            value_range=data.value_range,
            accuracy=pick.mean / unit.scale,
            accuracy_se=None if pick.se is None else pick.se / unit.scale,
            pooled=None
            if level is None
            else (pick.value("pooled") / unit.scale, level[0] / unit.scale, level[1] / unit.scale),
            unit=unit,
            seeds=len(pick.seeds),
            confirmed=self.confirmed,
            costs={key: value for key, value in pick.costs.items() if value is not None}
            | {f"{key} (without attention: 1)": value for key, value in pick.relative.items()},
            origin=f"run {spec.name}, trial {pick.number}{self._final()}",
            loaded_weights=study_attributes(self.run.study).loaded_weights,
        )

    def _final(self) -> str:
        """What the card says of the final training behind the weights."""
        final = training.trained_weights(self.run, self.pick.hash)
        if final is None:
            return ""
        plan, test = final[1].plan, f"{unit_of(self.run.study).text(final[1].test_score)} on the test set"
        return f"; weights of a training of {plan['epochs']} epochs on seed {plan['seed']}: {test}"

    def _repr_html_(self) -> str:
        return report.network_html(self.run.study, self.pick)

    def __str__(self) -> str:
        pick, state = self.pick, "confirmed" if self.confirmed else "unconfirmed"
        unit = unit_of(self.run.study)
        raw = f"raw mean {unit.written(pick.mean)} over {words.plural(len(pick.seeds), 'seed')}"
        if pick.interval is None or pick.pooled is None:
            return f"{pick.description}, {raw}, {state}"
        low, high = pick.interval
        return f"{pick.description}, {unit.written(pick.pooled)} (pooled, 95 % {low:.2f} to {high:.2f}; {raw}), {state}"


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
    """Search, or go on searching: the same call after an interruption continues to the target number of trials.

    Args:
        spec: What :func:`load_spec` gives.
        run: Directory of the run; ``runs/<name>`` below the current folder by default.
        trials: Trials that shall have ended in the whole run, instead of the spec's number.
        workers: Worker processes instead of the spec's; ``0`` trains in this process.
        progress: Show a live bar on a terminal, plain lines elsewhere.
        trainer: ``module:factory`` of another way to train; ours by default.
        budget: Seconds after which no further trial is begun; without ``trials`` nothing else ends the search.
        early_stop: End earlier where more trials cannot change the answer: where the pooled model gives less than 5 %
            to there being a network in the space that is better than the pick by ``judging.useful``.
        callbacks: Told of trials, rungs and the end, in this process; see :class:`Callback`.

    Raises:
        InputError: Fewer than one trial, or a spec whose parts do not fit.
        MissingExtraError: Engine ``nni`` or ``ray`` without its packages.
        RunError: The run exists with settings that make its trials incomparable, or another process searches in it.
        SearchStopped: Trials keep failing, or NNI does; the message names the commonest reason.
        KeyboardInterrupt: Ctrl-C, after the running trials were given back; the same call goes on later.
    """
    from chattn_nas.search.engine import search as run_search

    if budget is not None:
        if not budget > 0:
            raise InputError(f"budget must be seconds above 0, not {budget!r}", value=budget)
        trials = trials or MOST_TRIALS
    found = run_search(
        spec, run=run, trials=trials, workers=workers, progress=progress, trainer=trainer, budget=budget,
        early_stop=early_stop, callbacks=callbacks, best=results.so_far,
    )  # fmt: skip
    run_of = Run(found.directory)
    if trainer is None:
        try:
            run_of.show_predictions()
        except RunError as error:  # nothing was trained to the end
            log.debug("there are no predictions to show: %s", error)
        except Exception:  # a search whose picture cannot be made has its result all the same
            log.warning("what the network answers cannot be shown", exc_info=True)
    return run_of


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
    """Train a network of a run at full length, as :meth:`Trained.train`."""
    return trained.train(
        epochs=epochs, seed=seed, with_validation=with_validation, tensorboard=tensorboard, settings=settings,
        on_epoch=on_epoch,
    )  # fmt: skip


@checked
def export(
    trained: Trained, out_dir: Path | str, formats: Sequence[str] | None = None, *, force: bool = False
) -> ExportReport:
    """Write a network of a run into a folder that needs only torch, and prove it.

    Args:
        trained: A network of a run.
        out_dir: Made where it is missing; an earlier export there is replaced.
        formats: Some of ``chattn_nas.export.FORMATS``; ``chattn_nas.export.DEFAULT_FORMATS`` by default.
        force: Write into a folder that holds other files, too.

    Raises:
        InputError: An unknown format, or a folder that cannot be written, or that holds what no export wrote.
        MissingExtraError: A format whose packages are not installed.
        ExportError: A format cannot hold this network, or a proof fails.
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
        log.warning("The export is whole, but the run could not note it: %s", first_line(error))
    return written
