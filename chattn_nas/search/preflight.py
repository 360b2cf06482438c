"""Tries everything that a search will need before anything is written."""

from __future__ import annotations

import logging

import torch

from chattn_nas import tasks
from chattn_nas.errors import InputError, first_line
from chattn_nas.network import stages
from chattn_nas.network.model import create_backbone, refuse_missing_weights
from chattn_nas.network.survey import check_backbone
from chattn_nas.proxy import drop_path, resolve_device
from chattn_nas.required import check_required
from chattn_nas.search.devices import device_slots, refuse_too_many
from chattn_nas.search.named import check_named
from chattn_nas.search.one_shot import run as one_shot
from chattn_nas.search.rehearsal import rehearse
from chattn_nas.search.trainer import check_trainer
from chattn_nas.spec.spec import Spec
from chattn_nas.study.storage import RUN, reach

log = logging.getLogger(__name__)


def try_without_data(spec: Spec) -> None:
    """Try what needs no data, whose reading may take hours: devices, storage, weights, all that the spec names.

    Raises:
        InputError: One of them does not exist; ``where`` is its place in the spec.
    """
    check_required()
    for index, device in enumerate(spec.search.devices or [spec.proxy.device]):
        where = ("search", "devices", index) if spec.search.devices else ("proxy", "device")
        try:
            torch.empty(1, device=resolve_device(device))
        except InputError as error:
            error.where = where
            raise
        except (RuntimeError, AssertionError) as error:
            words = first_line(error)
            raise InputError(f"device {device!r} cannot be used: {words}", where=where) from None
    if spec.search.engine == "optuna":
        refuse_too_many(device_slots(spec.search, spec.proxy.device))
    storage = spec.search.storage
    if storage is not None and RUN not in storage:  # in its run's folder, which is tried as a whole
        reach(storage)
    latency = spec.search.bounds.get("latency")
    if latency is not None and not latency.unit and latency.limit >= 1:
        text = str(spec.search.constraints["latency"])
        raise InputError(
            f"search.constraints: latency {text!r} would be seconds; possible: '{text.strip()}ms', '{text.strip()}s'",
            where=("search", "constraints", "latency"),
        )
    check_named(spec)
    if spec.search.one_shot:
        one_shot.refuse(spec)
    try:
        refuse_missing_weights(spec.backbone.model, pretrained=spec.backbone.pretrained, weights=spec.backbone.weights)
    except InputError as error:
        raise error.at("backbone") from None


def try_out(spec: Spec) -> None:
    """Try everything that a trial will need before anything is written: data, device, backbone and space.

    Raises:
        InputError: One of them does not exist or does not fit; ``where`` is its place in the spec.
    """
    try_without_data(spec)
    if spec.search.one_shot and spec.search.sampler != "pooled":
        log.warning("search.one_shot: sampler %r does not read it, only 'pooled' does", spec.search.sampler)
    facts = tasks.load(spec.task, spec.data, data_on="disk")
    try:
        stages(spec.backbone.backbone, in_chans=facts.in_chans, image_size=spec.data.image_size)
    except InputError as error:
        raise error if error.where[:1] == ("backbone",) else error.at("backbone") from None
    _check_slots(spec, facts.in_chans)
    rehearse(spec, facts)
    if spec.trainer is not None:
        check_trainer(spec)


def _check_slots(spec: Spec, in_chans: int) -> None:
    """Check, before anything is spent, that every attention would learn and that a file of weights fits.

    Also report the share of the blocks that have a slot.

    Raises:
        InputError: An attention would not learn, or the weights do not fit; ``where`` starts with ``backbone``.
    """
    backbone = spec.backbone
    try:
        plan = check_backbone(backbone.backbone, in_chans=in_chans, image_size=spec.data.image_size)
        if backbone.weights is not None:
            create_backbone(
                backbone.backbone, num_classes=2, in_chans=in_chans, device="meta", weights=backbone.weights
            )
    except InputError as error:
        raise error.at("backbone") from None
    if spec.proxy.drop_path:
        drop_path.check(create_backbone(backbone.backbone, num_classes=2, in_chans=in_chans, device="meta"))
    if plan.slotted < plan.all_blocks or any(stage.kind == "stage" for stage in plan.stages):
        log.warning("%s: %s", backbone.model, plan.share)
