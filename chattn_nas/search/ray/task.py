"""The task on a node of a Ray cluster: one training, and the broker through which it asks whether to go on."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import uuid
from functools import lru_cache
from typing import Any

import torch

from chattn_nas.errors import InputError
from chattn_nas.proxy import Measurement, Rung, free_caches, is_out_of_memory
from chattn_nas.search.ray import _ray
from chattn_nas.search.trainer import Costs, Trainer, import_trainer, trainer_of
from chattn_nas.search.trial import BROKEN
from chattn_nas.space import Architecture
from chattn_nas.spec.plugins import look_in
from chattn_nas.spec.spec import Spec

log = logging.getLogger(__name__)


class RungBroker:
    """Carries the trainings' questions to the driver and the answers back; an actor beside the driver."""

    def __init__(self) -> None:
        self.questions: dict[str, asyncio.Queue[tuple[str, int, Rung] | None]] = {}
        self.answers: dict[str, asyncio.Future[bool]] = {}

    async def ask(self, training: str, rung: int, result: Rung) -> bool:
        """The training's side: ask whether to stop at this rung."""
        token = uuid.uuid4().hex
        self.answers[token] = asyncio.get_running_loop().create_future()
        self._of(training).put_nowait((token, rung, result))
        return await self.answers[token]

    async def next(self, training: str) -> tuple[str, int, Rung] | None:
        """The driver's side: wait for the next question; ``None`` once the training is forgotten."""
        return await self._of(training).get()

    async def answer(self, token: str, stop: bool) -> None:
        """Answer a question; if the node was lost, nobody receives the answer."""
        self.answers.pop(token).set_result(stop)

    async def forget(self, training: str) -> None:
        """Drop a training that is over."""
        self._of(training).put_nowait(None)
        del self.questions[training]

    def _of(self, training: str) -> asyncio.Queue[tuple[str, int, Rung] | None]:
        return self.questions.setdefault(training, asyncio.Queue())


def costs_of(spec: str, trainer: str | None, device: str, architecture: dict[str, Any]) -> Costs:
    """Measure the costs of an architecture where it would be trained."""
    made = _trainer(spec, trainer, device)
    return made.costs(made.build(Architecture.from_dict(architecture), seed=0))


def train_one(
    spec: str, trainer: str | None, device: str, architecture: dict[str, Any], seed: int, broker: Any, training: str
) -> tuple[Measurement, dict[str, torch.Tensor]]:
    """Train one architecture.

    Returns:
        The measurement, and the weights (on the CPU; none if the search keeps none).
    """
    made = _trainer(spec, trainer, device)
    network = made.build(Architecture.from_dict(architecture), seed)
    try:
        measured = made.train(
            network, seed, lambda rung, result: _ray.result_of(broker.ask.remote(training, rung, result))
        )
    except Exception as error:
        if is_out_of_memory(error):
            free_caches()
        elif any(words in str(error) for words in BROKEN):
            log.exception("this process can train nothing more: Ray starts another")
            os._exit(1)
        raise
    if json.loads(spec)["search"]["keep_checkpoints"] == 0:
        return measured, {}
    return measured, {name: value.detach().cpu() for name, value in network.state_dict().items()}


@lru_cache(maxsize=1)
def _trainer(spec: str, trainer: str | None, device: str) -> Trainer:
    """Make the trainer once per process: Ray gives one process many tasks."""
    torch.set_num_threads(1)
    try:
        data = json.loads(spec)
        look_in(data.pop("look_in", ()))
        parsed_spec = Spec.from_dict(data)
        return (import_trainer(trainer) if trainer else trainer_of(parsed_spec))(parsed_spec, device)
    except InputError as error:  # not the architecture's fault, which it would be taken for
        raise RuntimeError(f"a node cannot train: {error}") from error
