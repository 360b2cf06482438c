"""Trains on a Ray cluster: a trainer that hands each training to a task and answers its questions."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any

import ray
import torch
from ray.exceptions import RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import nn

from chattn_nas.proxy import Measurement, Report
from chattn_nas.search.ray.task import RungBroker, costs_of, train_one
from chattn_nas.search.trainer import Costs
from chattn_nas.search.trial import TimedOut
from chattn_nas.space import Architecture, Stage
from chattn_nas.spec.plugins import folders
from chattn_nas.spec.spec import Spec

#: Seconds between two looks at whether the search stops, and that a training has beyond its limit to end by itself.
LOOK, GRACE = 0.5, 10.0


class RemoteNetwork(nn.Module):
    """A network that another process builds; holds its weights once it was trained."""

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
        spec: What is searched.
        stages: Stages of the backbone.
        needs: Resources of one training: ``num_cpus``, ``num_gpus``.
        stop: Once it is set, trainings end with ``KeyboardInterrupt``.
        trainer: ``module:factory`` of what trains on the nodes; the proxy's by default.
    """

    def __init__(self, spec: Spec, stages: Sequence[Stage], needs: dict[str, float], stop: threading.Event,
                 trainer: str | None = None) -> None:  # fmt: skip
        self.settings, self.stages, self.stop = spec.search, stages, stop
        self.common = (
            json.dumps(spec.to_dict() | {"look_in": folders()}),
            trainer,
            "cuda" if needs.get("num_gpus") else "cpu",
        )
        retries = spec.search.retries
        self._costs_of = ray.remote(costs_of).options(**needs, max_retries=-1)
        self._train_one = ray.remote(train_one).options(**needs, max_retries=retries)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.broker = ray.remote(RungBroker).options(num_cpus=0, scheduling_strategy=here).remote()

    def build(self, architecture: Architecture, seed: int) -> RemoteNetwork:
        """A place for the network."""
        return RemoteNetwork(architecture)

    def costs(self, network: nn.Module) -> Costs:
        """Measured on a node."""
        assert isinstance(network, RemoteNetwork)
        costs: Costs = self._wait(self._costs_of.remote(*self.common, network.architecture.to_dict()))
        return costs

    def train(self, network: nn.Module, seed: int, report: Report) -> Measurement:
        """Train on whichever node is free; begun anew at most ``retries`` times where its node or process is lost.

        Raises:
            TimedOut: It hung.
            ray.exceptions.RayError: It was lost once too often.
        """
        assert isinstance(network, RemoteNetwork)
        training, began = uuid.uuid4().hex, time.monotonic()
        task = self._train_one.remote(*self.common, network.architecture.to_dict(), seed, self.broker, training)
        asked = self.broker.next.remote(training)
        over = False
        try:
            while task not in (ready := ray.wait([task, asked], timeout=LOOK)[0]):
                self._check(began)
                if asked in ready:
                    token, rung, result = ray.get(asked)
                    self.broker.answer.remote(token, report(rung, result))
                    asked = self.broker.next.remote(training)
            over = True
            measured, network.weights = _result(task)
        finally:
            if not over:  # Ray 2.60 aborts this process when a task is cancelled that has just ended
                ray.cancel(task, force=True)
            self.broker.forget.remote(training)
        return measured

    def _wait(self, task: Any) -> Any:
        while not ray.wait([task], timeout=LOOK)[0]:
            self._check(None)
        return _result(task)

    def _check(self, began: float | None) -> None:
        if self.stop.is_set():
            raise KeyboardInterrupt
        limit = self.settings.timeout
        if began is not None and limit and time.monotonic() - began > limit + GRACE:
            raise TimedOut(f"took longer than {limit:g} s")


def _result(task: Any) -> Any:
    try:
        return ray.get(task)
    except RayTaskError as error:
        raise error.cause from None
