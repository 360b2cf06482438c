"""The learning rate over the steps of one rung, as a factor of its peak."""

from __future__ import annotations

import math
from collections.abc import Callable

from chattn_nas.errors import InputError, first_line
from chattn_nas.parts import load_object
from chattn_nas.proxy.settings import ProxySettings

#: Step (from 0), steps of the rung and ``proxy.warmup`` to the factor.
Schedule = Callable[[int, int, float], float]


def cosine(step: int, steps: int, warmup: float) -> float:
    """Linear rise, then half a cosine down to zero (Loshchilov, Hutter, "SGDR", 2017)."""
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - 1 - rise)))


def factors(settings: ProxySettings, steps: int) -> list[float]:
    """The factor of every step of one rung.

    Args:
        settings: ``scheduler`` and ``warmup``.
        steps: Number of steps in the rung.

    Raises:
        InputError: There is no such function, it cannot be called so, or it returns a negative or infinite number.
    """
    name, where = settings.scheduler, ("proxy", "scheduler")
    if name == "cosine":
        return [cosine(step, steps, settings.warmup) for step in range(steps)]
    of_step: Schedule = load_object(name, "a scheduler", where, takes=("step", "steps", "warmup"))
    given: list[float] = []
    for step in range(steps):
        try:
            given.append(float(of_step(step, steps, settings.warmup)))
        except Exception as error:  # somebody else's code
            raise InputError(
                f"scheduler {name!r} fails at step {step} of {steps}: {type(error).__name__}: {first_line(error)}",
                where=where,
            ) from error
        if not 0 <= given[-1] < math.inf:
            raise InputError(
                f"scheduler {name!r} gives {given[-1]:g} at step {step} of {steps}: a factor of the peak learning rate "
                "is a finite number from 0 on",
                where=where,
            )
    return given
