"""Parts of the user's own, tried on a few images before anything is spent: what would go wrong silently is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from chattn_nas.data import TensorSet
from chattn_nas.errors import InputError, first_line
from chattn_nas.network import build_network
from chattn_nas.proxy.criterion import criterion_of
from chattn_nas.proxy.mixing import mixing_of
from chattn_nas.proxy.optimizer import Rates, build_optimizer
from chattn_nas.space import NONE, Architecture
from chattn_nas.spec.spec import Spec
from chattn_nas.tasks import TaskData
from chattn_nas.tasks.classification import Classification

IMAGES = 4
Place = tuple[str | int, ...]
AUGMENT, METRIC = ("data", "augment"), ("data", "metric")
LOSS, OPTIMIZER = ("proxy", "loss"), ("proxy", "optimizer")


def rehearse(spec: Spec, facts: TaskData) -> None:
    """Call every augmentation, loss, optimiser and metric by path as a training will.

    Args:
        spec: Names them.
        facts: The data with their task.

    Raises:
        InputError: One raises, gives something else than its protocol says, draws from elsewhere than its generator, or
            does not follow the learning rate; ``where`` is its place in the spec.
    """
    parts = spec.own_parts
    batch = facts.train[torch.arange(min(IMAGES, len(facts.train)), device=facts.train.labels.device)].to("cpu")
    if AUGMENT in parts:
        _try_augmentation(parts[AUGMENT], batch.images, facts)
    if METRIC in parts and isinstance(facts.task, Classification):
        labels = facts.validation.labels.cpu()
        with _tried(parts[METRIC], "metric", METRIC):
            facts.task.metric(torch.randn(len(labels), facts.num_classes), labels)
    if not {LOSS, OPTIMIZER} & parts.keys():
        return
    with torch.random.fork_rng(devices=[]):
        network = build_network(
            Architecture.uniform(spec.backbone.backbone, NONE), num_classes=facts.num_classes or 1,
            in_chans=facts.in_chans, image_size=facts.image_size, seed=0,
        )  # fmt: skip
        network = facts.task.network(network, 0).train()
        loss = _try_loss(parts.get(LOSS, "the loss"), network, batch, spec, facts)
        if OPTIMIZER in parts:
            _try_optimizer(parts[OPTIMIZER], network, loss, spec)


def _try_augmentation(name: str, images: Tensor, facts: TaskData) -> None:
    further = facts.augmentation.further
    assert further is not None
    with _tried(name, "augmentation", AUGMENT), torch.random.fork_rng(devices=[]):
        given = further(images.clone(), torch.Generator().manual_seed(0))
        torch.manual_seed(1)  # of no consequence to what draws from its generator alone
        again = further(images.clone(), torch.Generator().manual_seed(0))
    if not isinstance(given, Tensor) or given.shape != images.shape or given.dtype != torch.uint8:
        raise InputError(
            f"augmentation {name!r} gives {_told(given)} for {_told(images)}: the same is needed", where=AUGMENT
        )
    if not torch.equal(given, again):
        raise InputError(
            f"augmentation {name!r} draws from elsewhere than its generator: networks of one seed would not see the "
            "same images",
            where=AUGMENT,
        )


def _try_loss(name: str, network: nn.Module, batch: TensorSet, spec: Spec, facts: TaskData) -> Tensor:
    generator, mixing = torch.Generator().manual_seed(0), mixing_of(facts.task, spec.proxy)
    inputs, targets = facts.task.prepare(batch, generator)
    if mixing is not None:
        inputs, targets = mixing(inputs, targets, generator)
    output = network(inputs)
    with _tried(name, "loss", LOSS):
        loss = criterion_of(facts.task, spec.proxy, torch.device("cpu"))(output, targets)
    if not isinstance(loss, Tensor) or loss.ndim or not loss.requires_grad:
        raise InputError(
            f"loss {name!r} gives {_told(loss)}: one number that depends on the output is needed, a tensor of no "
            "dimension",
            where=LOSS,
        )
    return loss


def _try_optimizer(name: str, network: nn.Module, loss: Tensor, spec: Spec) -> None:
    optimizer = build_optimizer(network, spec.proxy)
    before = [value.detach().clone() for value in network.parameters()]
    with _tried(name, "optimiser", OPTIMIZER):
        rates = Rates(optimizer)
        rates.set(torch.zeros(1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    if any(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True)):
        raise InputError(
            f"optimiser {name!r} moves at learning rate 0: it must read group['lr'], a tensor that the schedule sets, "
            "at every step",
            where=OPTIMIZER,
        )


@contextmanager
def _tried(name: str, what: str, where: Place) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # somebody else's code
        raise InputError(f"{what} {name!r} fails: {type(error).__name__}: {first_line(error)}", where=where) from error


def _told(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return type(value).__name__
