"""Rehearses one training step of the bare backbone on a few images, to try the user's own parts.

It runs before anything is written. Silent mistakes are refused as well: an augmentation that does not draw from its
generator, an optimiser that does not follow the learning rate.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from chattn_nas.errors import ChattnError, InputError, first_line
from chattn_nas.image_size import ImageSize, pair
from chattn_nas.network import stages
from chattn_nas.parts import is_path
from chattn_nas.plural import plural
from chattn_nas.proxy.criterion import criterion_of
from chattn_nas.proxy.mixing import mixing_of
from chattn_nas.proxy.optimizer import Rates, build_optimizer
from chattn_nas.proxy.step import autocast
from chattn_nas.search.trainer import build_prepared
from chattn_nas.space import NONE, Architecture
from chattn_nas.spec.spec import Spec
from chattn_nas.tasks import TaskData
from chattn_nas.tasks.classification import Classification

#: Enough for a norm over a batch.
IMAGES = 2


def rehearse(spec: Spec, data: TaskData) -> None:
    """Check on the CPU that weights load, parts freeze, and augmentation, loss, optimiser and metric work.

    Args:
        spec: The spec of the search.
        data: Its data and task.

    Raises:
        InputError: A part does not work; ``where`` is its place in the spec.
    """
    cpu, generator = torch.device("cpu"), torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        if min(spec.proxy.batch_size, len(data.train)) == 1:
            refuse_batches_of_one(spec, data)
        network, mixing = _bare(spec, data).train(), mixing_of(data.task, spec.proxy)
        chosen = torch.linspace(0, len(data.train) - 1, min(IMAGES, len(data.train))).long()
        batch = data.train[chosen.to(data.train.labels.device)].to("cpu")
        with _blamed(spec.data.augment, ("data", "augment")):
            if is_path(spec.data.augment):
                _check_augmentation(batch.images, data)
            images, targets = data.task.prepare(batch, generator)
        if mixing is not None:
            images, targets = mixing(images, targets, generator)
        with autocast(cpu):
            output = network(images)
        criterion = criterion_of(data.task, spec.proxy, cpu)
        with _blamed(spec.proxy.loss, ("proxy", "loss")):
            loss = criterion(output, targets)
            if not isinstance(loss, Tensor) or loss.ndim or not loss.requires_grad:
                raise TypeError(f"a mean loss is one number with a gradient, not {_kind(loss)}")
            loss.backward()  # type: ignore[no-untyped-call]
            _check_finite(loss, network, spec)
        optimizer = build_optimizer(network, spec.proxy, images=len(data.train))
        with _blamed(spec.proxy.optimizer, ("proxy", "optimizer")):
            _check_step(optimizer, network)
    if isinstance(data.task, Classification) and spec.data.metric is not None:
        labels = data.validation.labels.cpu()
        logits = torch.randn(len(labels), data.num_classes, generator=torch.Generator().manual_seed(0))
        with _blamed(spec.data.metric, ("data", "metric")):
            data.task.metric(logits, labels)


def refuse_batches_of_one(spec: Spec, data: TaskData, processes: int = 1) -> None:
    """Check the baselines of a search, whose batch is one image in each process, by :func:`refuse_one_image`."""
    for label, architecture in spec.search_space().baselines():
        network = build_prepared(spec, architecture, seed=0, data=data)
        refuse_one_image(network, spec.data.image_size, data, label, processes=processes)


def refuse_one_image(
    network: nn.Module, image_size: ImageSize, data: TaskData, called: str, *, section: str = "proxy",
    processes: int = 1,
) -> None:  # fmt: skip
    """Check that no norm of a network has a single value per channel where a batch is one image.

    Args:
        network: The network; not changed.
        image_size: Pixels of the images.
        data: Their data set.
        called: The network in words.
        section: Section of the spec that names the batch, for the error.
        processes: Number of processes that share a batch, each of which has one image.

    Raises:
        InputError: A norm has; ``where`` is the batch's place in the spec.
    """
    image = torch.empty(1, data.in_chans, *pair(image_size), device="meta")
    try:
        copy.deepcopy(network).to("meta").train()(image)
    except ValueError as error:
        each = f" for each of {processes} processes" if processes > 1 else ""
        raise InputError(
            f"{section}.batch_size: {called} cannot be trained on batches of one image{each}, of which a norm sees one "
            f"value per channel: take at least {2 * processes}",
            where=(section, "batch_size"),
        ) from error


def _check_augmentation(images: Tensor, data: TaskData) -> None:
    further = data.augmentation.further
    assert further is not None
    given = further(images.clone(), torch.Generator().manual_seed(0))
    torch.manual_seed(1)  # of no consequence to what draws from its generator alone
    again = further(images.clone(), torch.Generator().manual_seed(0))
    if len(given) != len(images):
        raise ValueError(f"it makes {plural(len(given), 'image')} of {len(images)}")
    if given.shape != images.shape or given.dtype != torch.uint8:
        raise TypeError(f"it gives {_kind(given)} for {_kind(images)}")
    if not torch.equal(given, again):
        raise ValueError("it draws from elsewhere than its generator: networks of one seed would see other images")


def _check_finite(loss: Tensor, network: nn.Module, spec: Spec) -> None:
    if is_path(spec.proxy.loss):
        gradients = [one.grad for one in network.parameters() if one.grad is not None]
        if not all(bool(one.isfinite().all()) for one in (loss, *gradients)):
            raise ValueError(f"the loss ({loss.item():g}), or its gradient, is not finite")
    elif not loss.isfinite():
        raise InputError(
            f"the bare backbone has a loss of {loss.item():g} on {IMAGES} images: its weights, or the images, hold "
            "what is no number",
            where=("backbone",),
        )


def _check_step(optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
    before = [value.detach().clone() for value in network.parameters()]
    Rates(optimizer).set(torch.zeros(1))
    optimizer.step()
    if any(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)):
        raise ValueError("it moves at learning rate 0: group['lr'] is a tensor that the schedule sets at every step")


def _bare(spec: Spec, data: TaskData) -> nn.Module:
    backbone = spec.backbone.backbone
    try:
        known = stages(backbone, in_chans=data.in_chans, image_size=spec.data.image_size)
        return build_prepared(spec, Architecture.uniform(backbone, NONE).canonical(known), seed=0, data=data)
    except InputError as error:
        raise error if error.where[:1] == ("backbone",) else error.at("backbone") from None


@contextmanager
def _blamed(part: str, where: tuple[str, ...]) -> Iterator[None]:
    """Turn an exception from a user's part into an error that names the part."""
    try:
        yield
    except ChattnError:
        raise
    except Exception as error:
        if not is_path(part):
            raise
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{'.'.join(where)}: {part} fails: {reason}", where=where) from error


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    return type(value).__name__
