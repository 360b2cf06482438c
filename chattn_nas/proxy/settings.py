"""The ``proxy`` section of a spec: how one network is trained and scored."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from chattn_nas.settings import Settings

#: How attention starts: at the scale of the map before it, as its authors have it, or as the exact identity.
Start = Literal["unit", "official", "identity"]


def _a_device(text: str) -> str:
    """A device by its name; whether this machine has it is seen where it is used."""
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:[0-9]{1,3})?", text):
        raise ValueError("possible devices are auto, cpu, cuda, cuda:0 (and so on), mps, xpu")
    return text


def _a_scheduler(text: str) -> str:
    if text != "cosine" and not re.fullmatch(r"[A-Za-z_][\w.]*:\w+", text):
        raise ValueError("possible schedulers are cosine and module:function")
    return text


DeviceName = Annotated[str, AfterValidator(_a_device)]


class ProxySettings(Settings):
    """One training run.

    Attributes:
        rungs: Epochs after which the network is scored; every rung ends a cosine cycle at zero learning rate.
        batch_size: Images per step.
        learning_rate: Peak, for a batch of 128; scaled linearly with the batch size.
        optimizer: ``sgd`` (with Nesterov momentum), ``adam``, ``adamw``, another that timm makes (``lion``, ``muon``,
            ...), or ``module:Class``, which takes groups of parameters, ``lr`` and ``weight_decay``.
        loss: ``task`` is the task's own; of classifiers ``ce`` (cross-entropy) or ``bce`` (binary, per class); or
            ``module:function`` of the network's output and the targets, which gives the mean loss.
        scheduler: ``cosine``, or ``module:function`` of the step (from 0), the steps of the rung and ``warmup``, which
            gives a factor of the peak learning rate.
        clip: Largest norm of the gradient; ``None`` does not clip.
        mixup: Alpha of mixup (Zhang et al. 2018); 0 is none. Of classifiers with one label per image.
        cutmix: Alpha of CutMix (Yun et al. 2019); 0 is none. With both, every batch takes one of them.
        drop_path: Rate at which the last block's residual branch is left out (Huang et al. 2016), rising from 0 at the
            first; 0 is none.
        ema: Decay of an exponential moving average of the weights, warmed up; the average is scored and kept. 0 is
            none.
        momentum: Momentum of those that have one.
        weight_decay: On weights only: not on biases, norms, and what an attention type exempts.
        label_smoothing: Label smoothing of the cross-entropy in training.
        warmup: Part of each rung in which the learning rate rises linearly.
        branch_scale: Factor at which the residual branches of every network start; ``calibrate --recipe`` finds what
            suits the backbone without attention.
        start: How attention starts. ``unit``: the map behind it has the scale of the map before it, so that a short
            training does not measure how fast the network grows back what a gate took away; ``official``: as its
            authors start it; ``identity``: as the exact identity, for pretrained weights.
        patience: ``diverged`` also stops a network whose accuracy after the first rung is at chance; a network whose
            loss is not finite is always stopped.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``xpu``.
        cuda_graphs: On a GPU, capture the training step once per trial and replay it, where it can be captured.
        data_on: ``device`` copies the images to the training device, ``disk`` maps them from the cache and reads
            batches ahead, ``auto`` copies them if they take at most half of the free memory.

    In a spec:
        rungs: [4, 16]  # epochs
        batch_size: 64  # images
        learning_rate: 0.05  # for a batch of 128
        optimizer: adamw
        loss: bce
        scheduler: cosine
        clip: 1.0  # norm of the gradient
        mixup: 0.2  # alpha
        cutmix: 1.0  # alpha
        drop_path: 0.1  # probability
        ema: 0.99  # share kept per step
        momentum: 0.9  # share
        weight_decay: 0.0005  # factor per step and learning rate
        label_smoothing: 0.1  # share
        warmup: 0.1  # share of each rung
        branch_scale: 2.0  # factor
        start: identity
        patience: diverged
        device: cuda:0
        cuda_graphs: false
        data_on: disk
    """

    rungs: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [2, 6]
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    optimizer: str = "sgd"
    loss: str = "task"
    scheduler: Annotated[str, AfterValidator(_a_scheduler)] = "cosine"
    clip: float | None = Field(default=None, gt=0)
    mixup: float = Field(default=0.0, ge=0)
    cutmix: float = Field(default=0.0, ge=0)
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    ema: float = Field(default=0.0, ge=0, lt=1)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    warmup: float = Field(default=0.2, ge=0, lt=1)
    branch_scale: float = Field(default=1.0, gt=0)
    start: Start = "unit"
    patience: Literal["none", "diverged"] = "none"
    device: DeviceName = "auto"
    cuda_graphs: bool = True
    data_on: Literal["auto", "device", "disk"] = "auto"

    @field_validator("rungs")
    @classmethod
    def _rising(cls, rungs: list[int]) -> list[int]:
        if any(later <= earlier for earlier, later in pairwise(rungs)):
            raise ValueError("rungs must rise")
        return rungs
