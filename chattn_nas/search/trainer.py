"""The trainer of a worker, set up once for all trials: data on the device, stages, costs of the bare backbone."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from chattn_nas import tasks
from chattn_nas.data import Data, sample_batch
from chattn_nas.errors import InputError, first_line
from chattn_nas.network import build_network, cost, restore_scales, stages, start_at_unit
from chattn_nas.network.scales import ratios_of, remaining_ratios, scales_behind
from chattn_nas.parts import load_object
from chattn_nas.plural import plural
from chattn_nas.proxy import Measurement, Report, pulse, resolve_device, train_within_memory
from chattn_nas.proxy.measurement import StageScale
from chattn_nas.proxy.settings import Start
from chattn_nas.space import NONE, Architecture, Stage
from chattn_nas.spec.spec import Spec

log = logging.getLogger(__name__)

Costs = dict[str, float]
#: Beside ``latency`` in a trainer's costs: the ratio to the bare backbone, measured in turns with it.
LATENCY_RATIO = "latency_relative"


class Trainer(Protocol):
    """The protocol of trainers. ``trainer: module:Class`` in a spec names one.

    The class is called with the spec and the device (``None`` leaves it open), once per worker. A trainer may have
    ``data``, the data set with its task; otherwise that is read from the spec.
    """

    @property
    def stages(self) -> Sequence[Stage]:
        """Stages of the backbone."""

    def build(self, architecture: Architecture, seed: int) -> nn.Module:
        """The network, initialised under the seed."""

    def costs(self, network: nn.Module) -> Costs:
        """``parameters``, ``macs`` and, where the search needs it, ``latency``."""

    def train(self, network: nn.Module, seed: int, report: Report) -> Measurement:
        """Train the network in place.

        Args:
            network: From :meth:`build`.
            seed: Seed of everything that is random in training.
            report: Called after every rung with its index and result; ``True`` ends the training there.

        Returns:
            Outcome and rungs; a complete one has at least one rung.
        """


class ProxyTrainer:
    """Trains as the spec's proxy says.

    Raises:
        InputError: The backbone or data set does not exist; ``where`` is the path of keys.
    """

    def __init__(self, spec: Spec, device: str | None = None) -> None:
        pulse.tell("reading")
        self.spec = spec
        self.device = resolve_device(device or spec.proxy.device)
        self.data = tasks.load(spec.task, spec.data, device=self.device, data_on=spec.proxy.data_on)
        self.stages = stages(spec.backbone.backbone, in_chans=self.data.in_chans, image_size=self.data.image_size)

    def build(self, architecture: Architecture, seed: int) -> nn.Module:
        """Build the network on the CPU, so that one seed gives the same weights whatever the device."""
        return build_prepared(self.spec, architecture, seed=seed, data=self.data)

    def costs(self, network: nn.Module) -> Costs:
        """Count the network's costs; latency is measured on this device, in seconds per batch of the proxy."""
        timed: dict[str, Any] = {}
        if self.spec.search.needs_latency:
            timed = {"device": self.device, "batch_size": self.spec.proxy.batch_size, "against": self._bare}
        counted = cost(network, self.data.image_size, in_chans=self.data.in_chans, **timed)
        costs: Costs = {"parameters": counted.parameters, "macs": counted.macs}
        if counted.latency is None or counted.latency_relative is None:
            return costs
        return costs | {"latency": counted.latency, LATENCY_RATIO: counted.latency_relative}

    @cached_property
    def _bare(self) -> nn.Module:
        """Build the backbone without attention, in eval mode on the device."""
        bare = Architecture.uniform(self.spec.backbone.backbone, NONE).canonical(self.stages)
        return self.build(bare, seed=0).to(self.device).eval()

    def train(self, network: nn.Module, seed: int, report: Report) -> Measurement:
        """Train through all rungs of the spec; if memory is short, once more with each batch in two parts."""
        batch = sample_batch(self.data)
        before = scales_behind(network, batch)
        measured = train_within_memory(
            network, self.data, self.spec.proxy, seed=seed, report=report, device=self.device
        )
        try:
            after = scales_behind(network, batch.to(self.device))
        except RuntimeError as error:  # a device that is full: what was trained must not be lost for a diagnostic
            log.warning("the scales behind the attentions could not be measured: %s", first_line(error))
            return replace(measured, seed=seed)
        ratios: Mapping[int, float] = getattr(network, "start_ratios", {})
        scales = tuple(
            StageScale(stage=stage, ratio=ratios.get(stage, 1.0), start=before[stage], end=after[stage])
            for stage in before
        )
        return replace(measured, seed=seed, stage_scales=scales)


def build_prepared(
    spec: Spec,
    architecture: Architecture,
    *,
    seed: int,
    data: Data,
    start: Start | None = None,
    state: Mapping[str, Tensor] | None = None,
) -> nn.Module:
    """Build the network of an architecture on the CPU, prepared and started as the spec says.

    This is the only place that builds a network of a run.

    Args:
        spec: Sections ``backbone`` and ``data``, and ``proxy.start``.
        architecture: In canonical form.
        seed: Seed of the weights.
        data: Number of classes and channels, the training images that the unit start is measured on, and the task.
        start: A start in place of the spec's.
        state: Trained weights to load; the network must have been trained from that start.
    """
    backbone, start = spec.backbone, start or spec.proxy.start
    scale = spec.proxy.branch_scale if state is None else 1.0
    batch = sample_batch(data) if state is None else None
    network = build_network(
        architecture,
        num_classes=data.num_classes or 1,
        in_chans=data.in_chans,
        image_size=spec.data.image_size,
        seed=seed,
        pretrained=backbone.pretrained and state is None,
        weights=backbone.weights if state is None else None,
        identity_init=start == "identity",
        branch_scale=scale,
        images=batch,
        freeze=backbone.freeze,
        layer_decay=backbone.layer_decay,
    )
    if batch is not None:
        ratios = ratios_of(start_at_unit(network, batch)) if start == "unit" else remaining_ratios(network, batch)
        network.start_ratios = ratios  # type: ignore[assignment]
    network = tasks.task_of(data).network(network, seed)
    if state is not None:
        restore_scales(network, state)
        network.load_state_dict(state)
    return network


#: Makes a trainer for a spec on a device; ``None`` is the proxy's.
TrainerFactory = Callable[[Spec, str | None], Trainer]
METHODS = ("build", "costs", "train")


def import_trainer(path: str) -> TrainerFactory:
    """Import the class at ``module:Class``.

    Raises:
        InputError: There is no such class, or it cannot be called with a spec and a device.
    """
    factory: TrainerFactory = load_object(path, "a trainer", ("trainer",), takes=("spec", "device"))
    return factory


def trainer_of(spec: Spec) -> TrainerFactory:
    """Return the function that makes the trainer of a spec.

    Raises:
        InputError: See :func:`import_trainer`.
    """
    return ProxyTrainer if spec.trainer is None else import_trainer(spec.trainer)


def check_trainer(spec: Spec) -> None:
    """Make the trainer of a spec, and check that it has what a search needs.

    Raises:
        InputError: It cannot be made, or lacks something.
    """
    made = trainer_of(spec)
    try:
        trainer = made(spec, None)
        known = list(trainer.stages)
    except InputError:
        raise
    except Exception as error:  # somebody else's code
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"trainer {spec.trainer!r} cannot be made: {reason}", where=("trainer",)) from error
    missing = [name for name in METHODS if not callable(getattr(trainer, name, None))]
    if missing:
        raise InputError(
            f"trainer {spec.trainer!r} has no {' and no '.join(missing)}: a trainer has stages, {', '.join(METHODS)}",
            where=("trainer",),
        )
    space = spec.search_space()
    if known != list(space.stages):
        raise InputError(
            f"trainer {spec.trainer!r} declares {plural(len(known), 'stage')}, which are not the "
            f"{len(space.stages)} of the backbone (chattn_nas.network.stages)",
            where=("trainer",),
        )


def restored(
    spec: Spec, architecture: Architecture, *, seed: int, data: Data, state: Mapping[str, Tensor] | None
) -> nn.Module:
    """Return a network of a run with its trained weights, on the CPU or where it was trained.

    Args:
        spec: Spec of the run.
        architecture: In canonical form.
        seed: Seed of the trial.
        data: As for :func:`build_prepared`.
        state: The weights that the search kept; without them it is trained again in the same way.
    """
    trainer = None if spec.trainer is None else trainer_of(spec)(spec, None)
    if trainer is None or getattr(type(trainer), "build", None) is ProxyTrainer.build:
        network = build_prepared(spec, architecture, seed=seed, data=data, state=state)
    else:
        network = trainer.build(architecture, seed)
        if state is not None:
            network.load_state_dict(state)
    if state is None and trainer is not None:
        trainer.train(network, seed, lambda rung, result: False)
    elif state is None:
        train_within_memory(network, data, spec.proxy, seed=seed, device=resolve_device(spec.proxy.device))
    return network


def reference_costs(trainer: Trainer, spec: Spec) -> Costs:
    """Measure the costs of the backbone without attention."""
    costs = trainer.costs(
        trainer.build(Architecture.uniform(spec.backbone.backbone, NONE).canonical(trainer.stages), seed=0)
    )
    costs.pop(LATENCY_RATIO, None)
    return costs


def loaded_weights(trainer: Trainer, spec: Spec) -> str | None:
    """The weights that the backbone starts from, in words; ``None`` if they are random."""
    if not (spec.backbone.pretrained or spec.backbone.weights):
        return None
    bare = trainer.build(Architecture.uniform(spec.backbone.backbone, NONE).canonical(trainer.stages), seed=0)
    return str(getattr(bare, "loaded", "")) or None


def consistent(costs: Costs, reference: Costs) -> Costs:
    """Derive latency from the measured ratio, which holds however busy the machine was."""
    ratio = costs.pop(LATENCY_RATIO, None)
    return costs if ratio is None else costs | {"latency": ratio * reference["latency"]}


def hardware() -> str:
    """The hardware that numbers are measured on: processor, cores, and visible GPUs."""
    cpu: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch know none
    processor = cpu.get("cpu_name") or platform.processor() or platform.machine()
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join([f"{processor}, {os.cpu_count()} cores", *gpus])


def versions() -> dict[str, str]:
    """Versions of everything that results depend on."""
    names = ("torch", "timm", "optuna", "chattn-nas")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
