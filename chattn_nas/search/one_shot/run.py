"""Trains the supernet of a spec's space, scores it, and predicts every network of the space.

The recipe was measured on tables of real trainings (``docs/cost.md``): all weights are shared but the attention's,
the proxy's learning rate, one path per step from a balanced bag, and as score the loss in train mode on a few fixed
batches of training images: accuracy, in any form, ranks badly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna
import torch
from numpy.typing import NDArray

from chattn_nas import tasks
from chattn_nas.data import Data, sample_batch
from chattn_nas.errors import InputError, TrainingStopped, in_one_sentence
from chattn_nas.network.supernet import Supernet, build_supernet, start_choices_at_unit
from chattn_nas.proxy import DistributedContext, free_caches, join_distributed, pulse, resolve_device
from chattn_nas.proxy.distributed import group_size, refuse_uneven
from chattn_nas.proxy.paths import PathLoss, steps_of, train_paths
from chattn_nas.results import words
from chattn_nas.search.one_shot.paths import additive, balanced
from chattn_nas.search.pooled.networks import Networks
from chattn_nas.search.rehearsal import refuse_batches_of_one
from chattn_nas.spec.spec import Spec
from chattn_nas.study.prediction import PREDICTION, Prediction, centred, prediction_of

Say = Callable[[str], None]
#: Scored networks, as a multiple of the choices of all stages together.
SCORED = 2
#: Choices per stage when the recipe was measured, with as many epochs as the proxy has: more get as many steps each.
MEASURED_CHOICES = 6


def refuse(spec: Spec, processes: int = 1) -> None:
    """Refuse a spec of which shared weights can say nothing, or whose batch so many processes cannot share.

    Raises:
        InputError: Its networks start as identities, have their own trainer, or leave no choice; or the batch cannot be
            divided evenly.
    """
    if spec.proxy.start == "identity":
        raise InputError(
            "one-shot is blind where every attention starts as the identity (it ranked backwards when it was "
            "measured): take another proxy.start",
            where=("proxy", "start"), value="identity", choices=("unit", "official"),
        )  # fmt: skip
    if spec.trainer is not None:
        raise InputError("one-shot trains by the recipe of the proxy, and this spec has a trainer of its own",
                         where=("trainer",))  # fmt: skip
    if spec.search_space().canonical_size < 2:
        raise InputError("one-shot compares the networks of a space, and this one has a single network",
                         where=("space",))  # fmt: skip
    refuse_uneven(spec.proxy.batch_size, processes, ("proxy", "batch_size"))


def epochs_of(spec: Spec) -> int:
    """Number of epochs of a spec's supernet: the proxy's, and more where a stage has many choices."""
    widest = int(Networks(spec.search_space()).sizes.max())
    return spec.search.one_shot_epochs or math.ceil(spec.proxy.rungs[-1] * max(1.0, widest / MEASURED_CHOICES))


def networks_scored(spec: Spec) -> int:
    """Number of networks that the supernet of a spec is scored on."""
    networks = Networks(spec.search_space())
    return min(SCORED * int(networks.sizes.sum()), spec.search_space().canonical_size)


def predict(spec: Spec, *, say: Say = lambda line: None) -> Prediction:
    """Train the supernet of a spec and predict its networks; the same spec and seed give the same result.

    Args:
        spec: Sections ``backbone``, ``data``, ``task``, ``space`` and ``proxy``, ``search.seed`` and
            ``search.one_shot_epochs``; trained on the first device of the search, in this process alone.
        say: Called now and then with a line on the progress and the remaining time.

    Raises:
        InputError: Shared weights can say nothing of this spec, or its data, device, backbone or space cannot be used.
        TrainingStopped: A step failed.
    """
    refuse(spec)
    return _predicted(_train(spec, DistributedContext.alone(resolve_device(_device_of(spec))), say))


def predict_together(spec: Spec, *, say: Say = lambda line: None) -> Prediction | None:
    """Like :func:`predict`, trained by all processes that ``torchrun`` started, if it did.

    The first one scores and predicts; the others return ``None`` as soon as they are no longer needed. Without norms
    over a batch and layers that draw, the result is that of one process, but for rounding (see :func:`train_paths`).

    Args:
        spec, say: As for :func:`predict`.

    Raises:
        InputError: As by :func:`predict`; or a batch, the images or the GPUs are not enough for the processes.
        TrainingStopped: A step failed, or another process has ended.
    """
    refuse(spec, group_size())
    with join_distributed(_device_of(spec)) as context:
        trained = _train(spec, context, say)
    return _predicted(trained) if context.is_first else None  # nobody waits for it: waiting has a limit


def _device_of(spec: Spec) -> str:
    return (spec.search.devices or [spec.proxy.device])[0]


@dataclass
class _Trained:
    """A supernet that is trained, and what is needed to score it."""

    spec: Spec
    data: Data
    supernet: Supernet
    networks: Networks
    rows: NDArray[np.int64]
    device: torch.device
    clock: _Remaining
    begun: float


def _train(spec: Spec, context: DistributedContext, say: Say) -> _Trained:
    begun = time.monotonic()
    pulse.tell("reading")
    data = tasks.load(spec.task, spec.data, device=context.device, data_on=spec.proxy.data_on)
    if context.size > 1 and context.batch(spec.proxy.batch_size, len(data.train)) == context.size:
        refuse_batches_of_one(spec, data, context.size)
    networks = Networks(spec.search_space())
    sizes, seed, epochs = networks.sizes.tolist(), spec.search.seed, epochs_of(spec)
    pulse.tell("building", network="a supernet")
    supernet = prepared_supernet(spec, data, seed)
    rng = np.random.default_rng([seed, 1])
    paths = balanced(sizes, epochs * steps_of(data, spec.proxy), rng)
    rows = balanced(sizes, networks_scored(spec), rng)
    by = f" in {context.size} processes" if context.size > 1 else ""
    say(
        f"one-shot: a supernet of {words.plural(sum(sizes), 'choice')} trains for {words.plural(epochs, 'epoch')}{by}, "
        f"then {words.plural(len(rows), 'network')} are scored"
    )
    trained, clock = time.monotonic(), _Remaining(say)

    def after(epoch: int, loss: float) -> None:
        """Report the progress."""
        if not math.isfinite(loss):
            raise InputError(
                f"the loss of the supernet was not finite in epoch {epoch}: a lower proxy.learning_rate may help"
            )
        clock(f"one-shot: epoch {epoch} of {epochs}, loss {loss:.3f}", epoch, epochs, trained)

    with in_one_sentence(TrainingStopped, "training the supernet failed"):
        train_paths(
            supernet.network, data, spec.proxy, epochs=epochs,
            choose=lambda step: supernet.select(paths[step].tolist()), seed=seed, context=context, after_epoch=after,
        )  # fmt: skip
    return _Trained(spec, data, supernet, networks, rows, context.device, clock, begun)


def _predicted(trained: _Trained) -> Prediction:
    """Score the networks of a trained supernet, and predict all of its space."""
    pulse.tell("scoring")
    spec, data, networks, rows = trained.spec, trained.data, trained.networks, trained.rows
    loss = PathLoss(trained.supernet.network, data, spec.proxy, trained.device)
    with in_one_sentence(TrainingStopped, "scoring the supernet failed"):
        scores = _scores(trained.supernet, rows, loss, trained.clock)
    mean, effects, explained = additive(rows, scores, networks.sizes.tolist())
    keyed = [
        dict(zip((key for _, key in keys), map(float, stage_effects), strict=True))
        for keys, stage_effects in zip(networks.keys, effects, strict=True)
    ]
    free_caches()
    seconds = time.monotonic() - trained.begun
    trained.clock.say(
        f"one-shot: done in {words.duration(seconds)}; a sum over stages explains {words.share(explained)} of what was "
        "scored"
    )
    return Prediction(
        **centred(mean, keyed), fitted=explained, scored=len(rows), epochs=epochs_of(spec), images=len(data.train),
        seconds=seconds, seed=spec.search.seed,
    )  # fmt: skip


def _scores(supernet: Supernet, rows: NDArray[np.int64], loss: PathLoss, clock: _Remaining) -> NDArray[np.float64]:
    """Score networks with the shared weights: the choice per stage in ``rows`` gives the negative loss of each."""
    scores, begun = [], time.monotonic()
    for number, row in enumerate(rows, 1):
        supernet.select(row.tolist())
        scores.append(-loss())
        clock(f"one-shot: {number} of {len(rows)} networks scored", number, len(rows), begun)
    return np.array(scores)


def keep(study: optuna.Study, spec: Spec, say: Say) -> None:
    """Make sure that a study holds the prediction of its spec's shared weights, which are trained once."""
    if prediction_of(study) is None:
        study.set_user_attr(PREDICTION, predict(spec, say=say).to_dict())


def prepared_supernet(spec: Spec, data: Data, seed: int) -> Supernet:
    """Build the supernet of a spec on the CPU, started as the spec says, with the head of its task."""
    backbone, batch = spec.backbone, sample_batch(data)
    supernet = build_supernet(
        backbone.backbone, Networks(spec.search_space()).forms, num_classes=data.num_classes or 1,
        in_chans=data.in_chans, image_size=spec.data.image_size, seed=seed, pretrained=backbone.pretrained,
        weights=backbone.weights, branch_scale=spec.proxy.branch_scale, images=batch, freeze=backbone.freeze,
        layer_decay=backbone.layer_decay,
    )  # fmt: skip
    if spec.proxy.start == "unit":
        start_choices_at_unit(supernet, batch)
    supernet.network = tasks.task_of(data).network(supernet.model, seed)
    return supernet


class _Remaining:
    """Reports the remaining time, at most every few seconds, but not the end."""

    EVERY = 10.0

    def __init__(self, say: Say) -> None:
        self.say, self.said = say, time.monotonic()

    def __call__(self, line: str, done: int, total: int, begun: float) -> None:
        """Take the share that has been done since ``begun``."""
        now = time.monotonic()
        if done < total and now - self.said > self.EVERY:
            self.said = now
            self.say(f"{line}, about {words.about((now - begun) / done * (total - done))} left")
