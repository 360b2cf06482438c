"""Sends the state of this process to listeners: a display on the terminal, or a file that another process reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Facts = dict[str, Any]
Listener = Callable[[Facts], None]
#: Seconds between two words about one phase.
EVERY = 0.5

_listener: Listener | None = None
_facts: Facts = {}
_last_told = 0.0


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Call ``listener`` with the state inside the context.

    The state is a mapping with ``phase`` (``reading``, ``building``, ``training``, ``scoring``) and, for a training, as
    far as known, ``trial, network, epoch, epochs, step, steps, images_per_second``."""
    global _listener, _facts
    before, (_listener, _facts) = (_listener, _facts), (listener, {})
    try:
        yield
    finally:
        _listener, _facts = before


def tell(phase: str, **facts: Any) -> None:
    """Begin a phase; other values from earlier phases stay valid."""
    global _facts, _last_told
    if _listener is None:
        return
    _facts = _facts | facts | {"phase": phase}
    _last_told = time.monotonic()
    _listener(_facts)


class Beat:
    """Called after every step of a training; reports about twice a second.

    Args:
        epochs: Epochs of the whole training.
        steps: Steps of an epoch.
        batch_size: Images per step.
    """

    def __init__(self, epochs: int, steps: int, batch_size: int) -> None:
        self.epochs, self.steps, self.batch_size = epochs, steps, batch_size
        self.done, self.begun = 0, time.monotonic()

    def __call__(self) -> None:
        """Count one step."""
        self.done += 1
        now = time.monotonic()
        if _listener is None or now - _last_told < EVERY:
            return
        epoch, step = divmod(self.done - 1, self.steps)
        tell(
            "training", epoch=epoch + 1, epochs=self.epochs, step=step + 1, steps=self.steps,
            images_per_second=self.done * self.batch_size / (now - self.begun),
        )  # fmt: skip


def beat(epochs: int, steps: int, batch_size: int) -> Beat | None:
    """Return the function that a training calls after its steps; ``None`` if nobody listens."""
    return None if _listener is None else Beat(epochs, steps, batch_size)
