"""One network of a run with the evidence behind it, to train, to use and to export."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chattn_nas import judging, report, results, study, training
from chattn_nas.arguments import at_least, checked
from chattn_nas.plural import plural
from chattn_nas.results import words
from chattn_nas.space import Architecture
from chattn_nas.spec import TrainingSettings
from chattn_nas.study.attributes import study_attributes, trial_attributes
from chattn_nas.study.metric import unit_of

if TYPE_CHECKING:  # torch and timm are imported where something is built: reading a study needs neither
    from torch import nn

    from chattn_nas.export import Card
    from chattn_nas.training import TrainingResult

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """One architecture of a run with the evidence behind it; :meth:`network` gives its weights."""

    run: study.RunDirectory
    pick: results.Pick

    @property
    def architecture(self) -> Architecture:
        """In canonical form."""
        return Architecture.from_dict(
            {"backbone": self.run.spec.backbone.backbone.to_dict(), "stages": self.pick.stages}
        )

    @property
    def seed(self) -> int:
        """The seed of its best trial, whose weights :meth:`network` returns."""
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
        """Train the network at full length into the run's directory; an interrupted training is resumed.

        Args:
            epochs: Length in one cosine cycle, instead of the spec's.
            seed: Seeds weights, order and augmentation; the search's by default.
            with_validation: Train on the validation images as well, instead of what the spec says.
            tensorboard: Write TensorBoard's files as well, instead of what the spec says.
            settings: The whole section ``training``, instead of the spec's.
            on_epoch: Called with the row of every epoch: ``epoch``, ``train_loss``, ``accuracy`` (0 to 1), ``seconds``.

        Raises:
            RunError: The folder holds a training with other settings, or another process works in it.
            InputError: A value is wrong, or data, backbone or batch size cannot be used.
            TrainingStopped: The loss was not finite.
        """
        given = {"epochs": epochs, "with_validation": with_validation, "tensorboard": tensorboard}
        settings = (settings or self.run.spec.training).changed(**{k: v for k, v in given.items() if v is not None})
        return training.final_training(self.run, self.architecture, settings=settings, seed=seed, on_epoch=on_epoch)

    def network(self) -> nn.Module:
        """Return the trained network in eval mode on the CPU.

        Its weights are those of the latest finished :meth:`train`, else of its best trial; if those were not kept, it
        is trained again as in that trial.
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

    @checked
    def look_at_gates(self, images: int = 512) -> bool:
        """Store the gates of the trained network, class by class, in the study for the report.

        Args:
            images: Maximal number of validation images.

        Returns:
            Whether there were gates to store: its weights were kept, it has attention, and images have one label.

        Raises:
            InputError: ``images`` is below 1.
        """
        at_least(1, "images", images)
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
        """Figures of the run's confirmation by name; empty if there was none."""
        confirmation = judging.confirmation(self.run.study)
        return confirmation.figures(self.pick.hash) if confirmation else {}

    def card(self) -> Card:
        """The model card of this network, for its export."""
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
        """The card's sentence on the final training behind the weights."""
        final = training.trained_weights(self.run, self.pick.hash)
        if final is None:
            return ""
        plan, test = final[1].plan, f"{unit_of(self.run.study).text(final[1].test_score)} on the test set"
        return f"; weights of a training of {plural(plan['epochs'], 'epoch')} on seed {plan['seed']}: {test}"

    def _repr_html_(self) -> str:
        return report.network_html(self.run.study, self.pick)

    def __str__(self) -> str:
        pick, retrained = self.pick, self.confirmed
        state = f"retrained: {next(iter(retrained.values()))}" if retrained else "unconfirmed"
        unit = unit_of(self.run.study)
        raw = f"raw mean {unit.written(pick.mean)} over {words.plural(len(pick.seeds), 'seed')}"
        if pick.interval is None or pick.pooled is None:
            return f"{pick.description}, {raw}, {state}"
        low, high = pick.interval
        return f"{pick.description}, {unit.written(pick.pooled)} (pooled, 95 % {low:.2f} to {high:.2f}; {raw}), {state}"
