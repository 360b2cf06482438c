"""Trains on a Ray cluster: a trainer that hands each training to a task and answers its questions."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from chattn_nas import tasks
from chattn_nas.proxy import Measurement, Report
from chattn_nas.search.ray import _ray
from chattn_nas.search.ray.task import RungBroker, costs_of, train_one
from chattn_nas.search.trainer import Costs
from chattn_nas.search.trial import TimedOut
from chattn_nas.space import Architecture, Stage
from chattn_nas.spec.plugins import folders
from chattn_nas.spec.spec import Spec

#: Seconds between two looks at whether the search stops, and that a training has beyond its limit to end by itself.
LOOK, GRACE = 0.5, 10.0


class RemoteNetwork(nn.Module):
    """Stands for a network that another process builds; holds its weights once it was trained."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.weights: dict[str, torch.Tensor] = {}

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The weights."""
        return self.weights


class RayTrainer:
    """A trainer in the driver; several threads may use it at once.

    Args:
        spec: The spec of the search.
        stages: Stages of the backbone.
        needs: Resources of one training: ``num_cpus``, ``num_gpus``.
        stop: Once it is set, trainings end with ``KeyboardInterrupt``.
        trainer: ``module:factory`` of the trainer on the nodes; the proxy's by default.
    """

    def __init__(self, spec: Spec, stages: Sequence[Stage], needs: dict[str, float], stop: threading.Event,
                 trainer: str | None = None) -> None:  # fmt: skip
        self.settings, self.stages, self.stop = spec.search, stages, stop
        self.common = (
            json.dumps(spec.to_dict() | {"look_in": folders()}),
            trainer,
            "cuda" if needs.get("num_gpus") else "cpu",
        )
        # The study keeps what it is scored by; images stay on the disk of this machine.
        self.data = None if trainer else tasks.load(spec.task, spec.data, data_on="disk")
        retries = spec.search.retries
        self._costs_of = _ray.task(costs_of, needs, retries=-1)
        self._train_one = _ray.task(train_one, needs, retries)
        self.broker = _ray.actor_here(RungBroker)

    def build(self, architecture: Architecture, seed: int) -> RemoteNetwork:
        """Return a placeholder for the network."""
        return RemoteNetwork(architecture)

    def costs(self, network: nn.Module) -> Costs:
        """Measure the costs on a node."""
        assert isinstance(network, RemoteNetwork)
        costs: Costs = self._wait(self._costs_of.remote(*self.common, network.architecture.to_dict()))
        return costs

    def train(self, network: nn.Module, seed: int, report: Report) -> Measurement:
        """Train on whichever node is free; start again, at most ``retries`` times, if the node or process is lost.

        Raises:
            TimedOut: The training hung.
            ray.exceptions.RayError: The training was lost once too often.
        """
        assert isinstance(network, RemoteNetwork)
        training, began = uuid.uuid4().hex, time.monotonic()
        task = self._train_one.remote(*self.common, network.architecture.to_dict(), seed, self.broker, training)
        next_report = self.broker.next.remote(training)
        over = False
        try:
            while task not in (ready := _ray.ready([task, next_report], LOOK)):
                self._check(began)
                if next_report in ready:
                    token, rung, result = _ray.result_of(next_report)
                    self.broker.answer.remote(token, report(rung, result))
                    next_report = self.broker.next.remote(training)
            over = True
            measured, network.weights = _ray.result_of(task)
        finally:
            if not over:
                _ray.cancel(task)
            self.broker.forget.remote(training)
        return measured

    def _wait(self, task: Any) -> Any:
        while not _ray.ready([task], LOOK):
            self._check(None)
        return _ray.result_of(task)

    def _check(self, began: float | None) -> None:
        if self.stop.is_set():
            raise KeyboardInterrupt
        limit = self.settings.timeout
        if began is not None and limit and time.monotonic() - began > limit + GRACE:
            raise TimedOut(f"took longer than {limit:g} s")
