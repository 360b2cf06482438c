"""One training step of the bare backbone on two images, before anything is written: what others wrote runs once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from chattn_nas.errors import ChattnError, InputError, first_line
from chattn_nas.network import stages
from chattn_nas.proxy.criterion import criterion_of
from chattn_nas.proxy.optimizer import build_optimizer
from chattn_nas.proxy.step import autocast
from chattn_nas.search.trainer import build_prepared
from chattn_nas.space import NONE, Architecture
from chattn_nas.spec.spec import Spec
from chattn_nas.tasks import TaskData
from chattn_nas.tasks.classification import Classification

#: Enough for a norm over a batch.
IMAGES = 2


def rehearse(spec: Spec, data: TaskData) -> None:
    """See, on the CPU, that weights load, parts freeze, and augmentation, loss, optimiser and metric do their work.

    Args:
        spec: What will be searched.
        data: Its data and task.

    Raises:
        InputError: Something does not; ``where`` is its place in the spec.
    """
    with torch.random.fork_rng(devices=[]):
        network = _bare(spec, data).train()
        chosen = torch.linspace(0, len(data.train) - 1, min(IMAGES, len(data.train))).long()
        batch, cpu = data.train[chosen.to(data.train.labels.device)].to("cpu"), torch.device("cpu")
        with _blamed(spec.data.augment, ("data", "augment")):
            images, targets = data.task.prepare(batch, torch.Generator().manual_seed(0))
            if len(images) != len(batch):
                raise ValueError(f"it makes {len(images)} images of {len(batch)}")
        with autocast(cpu):
            output = network(images)
        criterion = criterion_of(data.task, spec.proxy, cpu)
        with _blamed(spec.proxy.loss, ("proxy", "loss")):
            loss = criterion(output, targets)
            if not isinstance(loss, torch.Tensor) or loss.ndim or not loss.requires_grad:
                raise TypeError(f"a mean loss is one number with a gradient, not {_kind(loss)}")
            loss.backward()
        optimizer = build_optimizer(network, spec.proxy, images=len(data.train))
        with _blamed(spec.proxy.optimizer, ("proxy", "optimizer")):
            optimizer.step()
    if isinstance(data.task, Classification) and spec.data.metric is not None:
        labels = data.validation.labels.cpu()
        logits = torch.randn(len(labels), data.num_classes, generator=torch.Generator().manual_seed(0))
        with _blamed(spec.data.metric, ("data", "metric")):
            data.task.metric(logits, labels)


def _bare(spec: Spec, data: TaskData) -> nn.Module:
    backbone = spec.backbone.backbone
    try:
        known = stages(backbone, in_chans=data.in_chans, image_size=spec.data.image_size)
        return build_prepared(spec, Architecture.uniform(backbone, NONE).canonical(known), seed=0, data=data)
    except InputError as error:
        raise error if error.where[:1] == ("backbone",) else error.at("backbone") from None


@contextmanager
def _blamed(part: str, where: tuple[str, ...]) -> Iterator[None]:
    """What a part of somebody else's raises, ``module:name``, as a sentence; our own parts say it themselves."""
    try:
        yield
    except ChattnError:
        raise
    except Exception as error:
        if ":" not in part:
            raise
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{'.'.join(where)}: {part} fails: {reason}", where=where) from error


def _kind(value: object) -> str:
    return f"a tensor {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
